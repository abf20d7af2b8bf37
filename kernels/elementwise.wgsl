// Functions of one tensor: the op table's expression in x (and the constants a, b) is spliced in as `f`.
// x, y, out: [size], four elements per invocation, or eight; buffers are padded to whole vectors.

struct Params { size: u32, a: f32, b: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<uniform> p: Params;
// 1: an invocation does two neighbouring vectors, which the embedded device may do at once.
override PAIRS: u32 = 0;

// e^-a, and 0 where that would be a denormal, which some processors are slow at.
fn decay(a: vec4f) -> vec4f {
  return select(exp(-a), vec4f(0.0), a > vec4f(87.0));
}

// erfc(z), z >= 0, to 4e-7 of itself up to z = 9, so that tails do not cancel: erfc(z) e^(z^2) / t is nearly a
// polynomial in t = 1 / (1 + 0.4 z); the coefficients are a least-squares fit to it with relative error 1e-8.
fn upper_tail(z: vec4f) -> vec4f { return tail_series(z) * decay(z * z); }

// erfc(z) e^(z^2).
fn tail_series(z: vec4f) -> vec4f {
  let t = 1.0 / (1.0 + 0.4 * z);
  var sum = -0.0277245665 * t + 0.187905229;
  sum = sum * t - 0.475167909;
  sum = sum * t + 0.516096077;
  sum = sum * t - 0.258484014;
  sum = sum * t + 0.258285683;
  sum = sum * t + 0.134399047;
  sum = sum * t + 0.213918645;
  sum = sum * t + 0.225070941;
  sum = sum * t + 0.225700877;
  return sum * t;
}

// The normal distribution function, each side by its own tail.
fn normal_cdf(v: vec4f) -> vec4f {
  let tail = 0.5 * upper_tail(abs(v) * 0.70710678118);
  return select(tail, 1.0 - tail, v > vec4f(0.0));
}

// Slope of v times the distribution function: that plus v times the density, which share an exponential.
fn gelu_slope(v: vec4f) -> vec4f {
  let density = decay(0.5 * v * v);
  let tail = 0.5 * tail_series(abs(v) * 0.70710678118) * density;
  return select(tail, 1.0 - tail, v > vec4f(0.0)) + 0.39894228040 * v * density;
}

// Odd polynomial below 1 (fit, relative error 1e-9), one minus the tail above.
fn error_function(v: vec4f) -> vec4f {
  let q = min(v * v, vec4f(1.0));
  var sum = 7.85385327e-5 * q - 0.000801019118;
  sum = sum * q + 0.00518832741;
  sum = sum * q - 0.0268538118;
  sum = sum * q + 0.112835851;
  sum = sum * q - 0.376126258;
  sum = sum * q + 1.12837917;
  return select(v * sum, sign(v) * (1.0 - upper_tail(abs(v))), abs(v) > vec4f(1.0));
}

// e^-2|v| cannot overflow; below 0.7, where 1 - e would cancel, an odd polynomial (fit, relative error 1e-8).
fn hyperbolic_tangent(v: vec4f) -> vec4f {
  let q = min(v * v, vec4f(0.49));
  var sum = -0.00508832351 * q + 0.0200244425;
  sum = sum * q - 0.0535260027;
  sum = sum * q + 0.133284147;
  sum = sum * q - 0.333331304;
  sum = sum * q + 0.999999986;
  let e = decay(2.0 * abs(v));
  return select(v * sum, sign(v) * (1.0 - e) / (1.0 + e), abs(v) > vec4f(0.7));
}

fn logistic(v: vec4f) -> vec4f {
  let e = decay(abs(v));
  return select(e, vec4f(1.0), v >= vec4f(0.0)) / (1.0 + e);
}

// log(1 + e^v) = max(v, 0) + log(1 + e), e = e^-|v|; log(1 + e) = 2 atanh s, s = e / (2 + e) <= 1/3, by its series.
fn soft_plus(v: vec4f) -> vec4f {
  let e = decay(abs(v));
  let s = e / (2.0 + e);
  let q = s * s;
  var sum = q / 15.0 + 1.0 / 13.0;
  sum = sum * q + 1.0 / 11.0;
  sum = sum * q + 1.0 / 9.0;
  sum = sum * q + 1.0 / 7.0;
  sum = sum * q + 1.0 / 5.0;
  sum = sum * q + 1.0 / 3.0;
  return max(v, vec4f(0.0)) + 2.0 * s * (sum * q + 1.0);
}

// v to a constant exponent. Whole exponents up to 16 are products, so that they are exact and negative bases have a
// sign.
fn raised(v: vec4f, exponent: f32) -> vec4f {
  let whole = exponent == floor(exponent);
  if (whole && abs(exponent) <= 16.0) {
    var product = vec4f(1.0);
    for (var i = 0u; i < u32(abs(exponent)); i++) { product *= v; }
    if (exponent < 0.0) { return 1.0 / product; }
    return product;
  }
  let power = pow(abs(v), vec4f(exponent));
  if (!whole) { return select(power, log(v), v < vec4f(0.0)); }       // the logarithm of a negative number is NaN
  let odd = floor(exponent * 0.5) * 2.0 != exponent;
  return select(power, -power, (v < vec4f(0.0)) & vec4<bool>(odd));
}

// tanh's argument in the usual approximation of gelu, and its slope. Beyond 20 tanh is 1 and a cube might overflow.
fn gelu_inner(x: vec4f) -> vec4f {
  let v = clamp(x, vec4f(-20.0), vec4f(20.0));
  return 0.79788456080 * (v + 0.044715 * v * v * v);
}
fn gelu_inner_slope(x: vec4f) -> vec4f {
  let v = clamp(x, vec4f(-20.0), vec4f(20.0));
  return 0.79788456080 * (1.0 + 0.134145 * v * v);
}

fn f(x: vec4f, a: f32, b: f32) -> vec4f { return /*expression*/; }

// out = f(x)
@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (PAIRS == 0u) {
    if (i * 4u < p.size) { out[i] = f(x[i], p.a, p.b); }
  } else if (i * 8u < p.size) {
    let next = min(2u * i + 1u, (p.size - 1u) / 4u);      // the same vector again where there is no other
    let v = f(x[2u * i], p.a, p.b);
    let w = f(x[next], p.a, p.b);
    out[2u * i] = v;
    out[next] = w;
  }
}

// out = y f(x): f is a derivative, y the cotangent
@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lid;
  if (PAIRS == 0u) {
    if (i * 4u < p.size) { out[i] = y[i] * f(x[i], p.a, p.b); }
  } else if (i * 8u < p.size) {
    let next = min(2u * i + 1u, (p.size - 1u) / 4u);
    let v = y[2u * i] * f(x[2u * i], p.a, p.b);
    let w = y[next] * f(x[next], p.a, p.b);
    out[2u * i] = v;
    out[next] = w;
  }
}
