// Behind a pattern's own kernel of out[m, n] = sum over k of x[m, k] w[n, k]: how a sum leaves it.
// out: [M, N]   bias: [N]   residual: [M, N]

// #include params.wgsl
// #include ../../matmul/output.wgsl

@group(0) @binding(2) var<storage, read> bias: array</*element*/f32>;
@group(0) @binding(3) var<storage, read> residual: array</*element*/f32>;
@group(0) @binding(4) var<storage, read_write> out: array</*element*/f32>;

// The sum of one row of x and one output (of four from `column` on, where out is vectors). Outside M x N nothing
// happens.
fn put(row: u32, column: u32, sum: /*element*/f32) {
  if (row >= p.M || column >= p.N) { return; }
  let at = (row * p.N + column) / /*size*/1u;
  var result = sum;
  if (BIAS == 1u) { result += bias[column / /*size*/1u]; }
  if (GELU == 1u) { result = /*gelu*/gelu(vec4f(result)).x; }
  if (RESIDUAL == 1u) { result += residual[at]; }
  out[at] = result;
}
