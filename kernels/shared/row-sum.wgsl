// Sums and maxima over the THREADS invocations that share a row; 64 / THREADS rows to a workgroup of 64. All
// invocations of the workgroup must call, those past the last row too.

override THREADS: u32 = 8;
var<workgroup> partial: array<f32, 64>;

fn row_sum(lid: u32, value: f32) -> f32 {
  if (THREADS == 1u) { return value; }
  partial[lid] = value;
  workgroupBarrier();
  var result = 0.0;
  for (var i = 0u; i < THREADS; i++) { result += partial[lid - lid % THREADS + i]; }
  workgroupBarrier();                     // all have read it before the next call overwrites it
  return result;
}

fn row_max(lid: u32, value: f32) -> f32 {
  if (THREADS == 1u) { return value; }
  partial[lid] = value;
  workgroupBarrier();
  var result = value;
  for (var i = 0u; i < THREADS; i++) { result = max(result, partial[lid - lid % THREADS + i]); }
  workgroupBarrier();
  return result;
}
