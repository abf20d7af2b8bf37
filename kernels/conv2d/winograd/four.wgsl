// Winograd's F(4, 3) along one axis: four outputs of a window of three by six products instead of twelve, at the points
// 0, 1, -1, 2, -2 and infinity (Lavin and Gray, 2016). Its constants up to 8 cost digits.

const POINTS = 6u;                         // values of a tile along an axis, before and after the transform
const MADE = 4u;                           // outputs of a tile along an axis
alias Line = array<vec4f, 6>;

fn of_data(d: Line) -> Line {
  let a = d[4] - 4.0 * d[2];
  let b = d[3] - 4.0 * d[1];
  let c = d[4] - d[2];
  let e = 2.0 * (d[3] - d[1]);
  return Line(4.0 * (d[0] - d[2]) + c, a + b, a - b, c + e, c - e, 4.0 * (d[1] - d[3]) + d[5] - d[3]);
}

fn of_weight(a: vec4f, b: vec4f, c: vec4f) -> Line {
  let even = (a + c) * (-1.0 / 6.0);
  let odd = b * (-1.0 / 6.0);
  let far = a * (1.0 / 24.0) + c * (1.0 / 6.0);
  let near = b * (1.0 / 12.0);
  return Line(0.25 * a, even + odd, even - odd, far + near, far - near, c);
}

fn of_sums(m: Line) -> array<vec4f, 4> {
  let a = m[1] + m[2];
  let b = m[1] - m[2];
  let c = m[3] + m[4];
  let d = m[3] - m[4];
  return array<vec4f, 4>(m[0] + a + c, b + 2.0 * d, a + 4.0 * c, b + 8.0 * d + m[5]);
}
