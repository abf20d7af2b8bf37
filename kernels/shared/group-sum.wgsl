// The sum over a workgroup of THREADS invocations, a power of two. The kernel says of what: `alias Sum`. For one call
// in a kernel; all invocations must make it.

override THREADS: u32 = 64;
var<workgroup> partial: array<Sum, THREADS>;

fn group_sum(lid: u32, value: Sum) -> Sum {
  partial[lid] = value;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (lid < half) { partial[lid] += partial[lid + half]; }
    workgroupBarrier();
  }
  return partial[0];
}
