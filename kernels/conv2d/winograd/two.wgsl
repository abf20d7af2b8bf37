// Winograd's F(2, 3) along one axis: two outputs of a window of three by four products instead of six, at the points 0,
// 1, -1 and infinity (Lavin and Gray, 2016).

const POINTS = 4u;                         // values of a tile along an axis, before and after the transform
const MADE = 2u;                           // outputs of a tile along an axis
alias Line = array<vec4f, 4>;

fn of_data(d: Line) -> Line { return Line(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]); }

fn of_weight(a: vec4f, b: vec4f, c: vec4f) -> Line {
  let even = 0.5 * (a + c);
  let odd = 0.5 * b;
  return Line(a, even + odd, even - odd, c);
}

fn of_sums(m: Line) -> array<vec4f, 2> { return array<vec4f, 2>(m[0] + m[1] + m[2], m[1] - m[2] - m[3]); }
