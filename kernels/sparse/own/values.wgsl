// Behind a pattern's own kernel of the gradient to the kept values: out as values, each sum over m of dy[m, n] x[m, k].

// #include params.wgsl

@group(0) @binding(4) var<storage, read_write> out: array</*element*/f32>;

// The sum of the value at this place (of four from it on, where out is vectors).
fn put(place: u32, sum: /*element*/f32) { out[place / /*size*/1u] = sum; }
