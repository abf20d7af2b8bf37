// What a row kernel reads at a time, in two versions of one text, and its parts added and compared; see
// row-kernels.ts.

alias V = /*V*/f32;                       // vec4f where rows are whole vectors; `width` counts V

fn total(v: V) -> f32 { return /*total*/v; }
fn largest(v: V) -> f32 { return /*largest*/v; }
