// Rows of one head in [B, N, H, ...] and [B, M, H, ...]; past the end the last one counts.

fn query_row(b: u32, h: u32, i: u32) -> u32 { return (b * p.N + min(i, p.N - 1u)) * p.H + h; }
fn key_row(b: u32, h: u32, j: u32) -> u32 { return (b * p.M + min(j, p.M - 1u)) * p.H + h; }
