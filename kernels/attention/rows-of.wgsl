// For the backward kernels that treat queries and keys alike.
// #include row-index.wgsl

const Q = 0u;                              // which rows `rows_of` reads
const K = 1u;
const V = 2u;
const DOUT = 3u;

// Four entries of row i of one head, the last row for those past the end; q comes scaled.
fn rows_of(what: u32, b: u32, h: u32, i: u32, d: u32) -> vec4f {
  let query = query_row(b, h, i);
  let key = key_row(b, h, i);
  switch what {
    case 0u: { return load_q(query, d) * p.scale; }
    case 1u: { return load_k(key, d); }
    case 2u: { return load_v(key, d); }
    default: { return load_dout(query, d); }
  }
}
