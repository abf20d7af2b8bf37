// One step of a product by strips of sixteen outputs, for the body of a loop over k: values s, t, u and v of four rows
// times w[at + k], into sum.
    for (var q = 0u; q < 4u; q++) { sum[q] = fma(s, w[at + k][q], sum[q]); }
    for (var q = 0u; q < 4u; q++) { sum[4u + q] = fma(t, w[at + k][q], sum[4u + q]); }
    for (var q = 0u; q < 4u; q++) { sum[8u + q] = fma(u, w[at + k][q], sum[8u + q]); }
    for (var q = 0u; q < 4u; q++) { sum[12u + q] = fma(v, w[at + k][q], sum[12u + q]); }
