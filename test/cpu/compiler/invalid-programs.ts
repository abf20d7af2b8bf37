// Programs that no WGSL compiler may accept; `line` is where the embedded device must report them.
export interface InvalidProgram {
  name: string
  source: string
  line: number
  message: RegExp
  /** The language feature by which dawn accepts it; we refuse it still, because not every browser has that feature. */
  feature?: string
}

const main = (body: string) =>
  `@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
${body}
}`
const inMain = (name: string, body: string, message: RegExp): InvalidProgram => ({
  name,
  source: main(body),
  line: 3,
  message,
})
const atTop = (name: string, text: string, message: RegExp, line = 1): InvalidProgram => ({
  name,
  source: `${text}\n@compute @workgroup_size(1) fn main() {}`,
  line,
  message,
})

/**
 * Programs that every WGSL compiler must accept, because what is wrong with them is a matter of the run, or nothing.
 */
export const validPrograms: { name: string, source: string }[] = ([
  ['an index by let', 'let k = 70; var a: array<f32, 4>; a[k] = 1.0; o[0] = a[k];'],
  ['a negative index by let', 'let k = -1; o[k] = 1.0;'],
  ['an index by var', 'var k = 70; var a = array(1.0, 2.0); o[0] = a[k];'],
  ['a component by let', 'let k = 5; var v = vec4f(); v[k] = 1.0; o[0] = v[k] + vec3f(1)[k];'],
  ['a column by let', 'let k = 3; var m = mat3x3f(); m[k] = vec3f(1); o[0] = m[k][k];'],
  ['an element of a value by let', 'let k = 9; o[0] = array(1.0, 2.0)[k];'],
  ['an index in an unrolled loop', 'var a: array<f32, 4>; for (var k = 0; k < 6; k++) { a[k] = 1.0; } o[0] = a[0];'],
  ['a divisor by let', 'let z = 0; o[0] = f32(4 / z + 4 % z);'],
  ['a shift by let', 'let s = 40u; o[0] = f32(1u << s);'],
  ['&& guards a division', 'const a = false && (123 / 0 > 0); o[0] = f32(a);'],
  ['|| guards a shift', 'const a = true || (1u << 40u) > 0u; o[0] = f32(a);'],
  ['&& guards an index', 'const a = false && (array(1, 2)[5] > 0); o[0] = f32(a);'],
  ['&& guards a builtin', 'const a = false && (sqrt(-1.0) > 0); o[0] = f32(a);'],
  ['&& guards a conversion', 'const a = false && (f32(1e40) > 1); o[0] = f32(a);'],
  ['&& guards what is known at run time only', 'const a = false && (1 / 0 > i32(o[0])); o[0] = f32(a);'],
  ['|| in a const_assert', 'const_assert true || 1 / 0 == 0; o[0] = 1.0;'],
  [
    'packed and other builtins of constants',
    'const a = dot4U8Packed(1, 2) + pack4xU8(vec4(1, 2, 3, 4)) + extractBits(7u, 1u, 2u);'
    + ' const_assert a > 0; const_assert firstLeadingBit(8i) == 3; o[0] = f32(a) + determinant(mat2x2(1, 2, 3, 4));',
  ],
  ['comparisons in brackets', 'let a = 1; let b = 2; let v = vec2((a < b), b > a); o[0] = f32(v.x);'],
  ['comparisons around &&', 'let a = 1; let b = 2; if (a < b && b > a) { o[0] = 1.0; }'],
  ['a comparison inside a list', 'var a = array<f32, select(2, 3, 4 > 2)>(); o[0] = a[0];'],
  ['blanks of Unicode', 'o[0]\u2028=\u200e1.0\u0085;'],
] satisfies [string, string][]).map(([name, body]): { name: string, source: string } => ({ name, source: main(body) }))
  .concat([
    {
      name: 'two pointers to one variable, only read',
      source: `fn two(a: ptr<function, i32>, b: ptr<function, i32>) -> i32 { return *a + *b; }\n${
        main('var x = 1; o[0] = f32(two(&x, &x));')
      }`,
    },
    {
      name: 'a variable beside a pointer to another',
      source: `var<private> g: i32; var<private> h: i32; fn put(a: ptr<private, i32>) { *a = h; }\n${main('put(&g);')}`,
    },
  ])

/** The table; line 1 is the first line of `source`. */
export const invalidPrograms: InvalidProgram[] = [
  // aliases
  ...([
    ['two pointers to one variable, written', 'var x = 1; two(&x, &x);', ''],
    ['two elements of one array', 'var x = array(1, 2); two(&x[0], &x[1]);', ''],
    ['two names of one pointer', 'var x = 1; let p = &x; let q = p; two(p, q);', ''],
    ['a module variable beside a pointer to it', 'by_name(&g);', 'fn by_name(a: ptr<private, i32>) { g = *a; }'],
    [
      'the same, two calls down',
      'outer(&g);',
      'fn deep() { g = 1; } fn outer(a: ptr<private, i32>) { deep(); _ = *a; }',
    ],
  ] as const).map(([name, body, helper]): InvalidProgram => ({
    name: `alias: ${name}`,
    source: `var<private> g: i32; fn two(a: ptr<function, i32>, b: ptr<function, i32>) { *a = *b; } ${helper}\n${
      main(body)
    }`,
    line: 4,
    message: /both point into|by its name and through parameter/,
  })),
  // template lists are found before anything is parsed
  inMain('a < b, c > d among arguments', 'let a = 1; let b = 2; let v = vec2(a < b, b > (a));', /template arguments/),
  inMain('the same in select', 'let a = 1; let b = 2; o[0] = f32(select(a < b, true, b > (a)));', /template arguments/),
  atTop('a template list on a struct', 'struct S { a: i32 } var<private> s: S<i32>;', /no template arguments/),
  // characters
  { name: 'a byte order mark', source: `\ufeff${main('')}`, line: 1, message: /byte order mark/ },
  { name: 'a byte order mark at the end', source: `${main('')}\ufeff`, line: 4, message: /byte order mark/ },
  inMain('a no-break space', 'o[0]\u00a0= 1.0;', /no meaning/),
  inMain('an ideographic space', 'o[0]\u3000= 1.0;', /no meaning/),
  { name: 'U+0000 in a comment', source: `// \0\n${main('')}`, line: 1, message: /U\+0000/ },
  {
    name: 'a comment ends at any line break',
    source: main('// comment\u2028o[0] = nothere;'),
    line: 4,
    message: /nothere/,
  },
  // values
  inMain('a right side that is evaluated', 'const a = true && (1 / 0 > 0);', /division by zero/),
  inMain('types count on the side that is not', 'const a = false && (1i > 2u);', /does not apply/),
  inMain('names count on the side that is not', 'const a = false && nothere;', /not declared/),
  inMain('pack2x16float out of range', 'o[0] = f32(pack2x16float(vec2f(1e6, 0)));', /largest f16/),
  inMain('unpack2x16float of infinity', 'o[0] = unpack2x16float(0x7c00u).x;', /infinite/),
  // syntax
  inMain('missing semicolon', 'let x = 1', /expected ';'/),
  inMain('missing operand', 'let x = 1 + ;', /expected an expression/),
  inMain('unbalanced parenthesis', 'let x = (1 + 2;', /expected '\)'/),
  inMain('assignment as expression', 'let x = (o[0] = 1.0);', /expected '\)'/),
  inMain('prefix increment', 'var x = 1; ++x;', /statement/),
  inMain('chained comparison', 'let x = 1 < 2 < 3;', /chain/),
  inMain('& and == without parentheses', 'let x = 1u & 2u == 2u;', /parentheses/),
  inMain('&& and || without parentheses', 'let x = true && false || true;', /parentheses/),
  inMain('shift and + without parentheses', 'let x = 1u << 2u + 1u;', /parentheses/),
  inMain('keyword as a name', 'let loop = 1;', /keyword/),
  inMain('reserved word as a name', 'let static = 1;', /reserved/),
  inMain('number with a wrong suffix', 'let x = 1.5u;', /not a number|expected/),
  inMain('leading zero', 'let x = 012;', /leading zero|not a number/),
  inMain('let without value', 'let x: f32;', /needs a value/),
  inMain('break outside of loops', 'break;', /break/),
  inMain('continue outside of loops', 'continue;', /continue/),
  inMain('expression as statement', '1 + 2;', /statement|expected/),
  inMain('else without if', 'else { }', /keyword|expected/),
  {
    name: 'open block',
    source: '@compute @workgroup_size(1) fn main() { if (true) {',
    line: 1,
    message: /never closed/,
  },
  { name: 'open comment', source: '/* nothing', line: 1, message: /never closed/ },
  atTop('unknown character', 'const a = 1 # 2;', /no meaning/),
  atTop('let at module scope', 'let x = 1;', /module scope/),
  // names
  inMain('undeclared name', 'o[0] = y;', /not declared/),
  inMain('undeclared function', 'o[0] = f(1.0);', /not declared/),
  inMain('declared twice', 'let x = 1; let x = 2;', /already declared/),
  inMain('used before declaration', 'o[0] = x; let x = 1.0;', /not declared/),
  inMain('out of scope', '{ let x = 1.0; } o[0] = x;', /not declared/),
  inMain('unknown type', 'var x: float4;', /unknown type/),
  inMain('unknown member', 'let v = vec2f(1, 2); o[0] = v.z;', /components/),
  inMain('type as value', 'let x = f32;', /type/),
  inMain('function as value', 'let x = main;', /function/),
  atTop('two globals of one name', 'const a = 1;\nconst a = 2;', /twice/, 2),
  atTop('declaration that depends on itself', 'const a = b;\nconst b = a;', /depends on itself/),
  atTop('struct that holds itself', 'struct S { s: S }', /depends on itself/),
  // types
  inMain('i32 plus u32', 'let x = 1i + 1u;', /does not apply/),
  inMain('f32 from i32 variable', 'let n = 1i; let x: f32 = n;', /needs f32/),
  inMain('condition that is no bool', 'if (1) { }', /needs a bool/),
  inMain('assignment of another type', 'o[0] = i;', /needs f32/),
  inMain('vector of wrong length', 'let v: vec3f = vec2f(1, 2);', /needs vec3/),
  inMain('too few components', 'let v = vec4f(1, 2, 3);', /components/),
  inMain('vec3 plus vec2', 'let v = vec3f(1) + vec2f(1);', /does not apply/),
  inMain('! of a number', 'let x = !1u;', /does not apply/),
  inMain('negative of u32', 'let x = -i;', /does not apply/),
  inMain('~ of a float', 'let x = ~1.0;', /does not apply/),
  inMain('logical and of numbers', 'let x = 1 && 2;', /does not apply/),
  inMain('shift by i32', 'let x = 1u << i32(i);', /u32/),
  inMain('float as index', 'o[1.5] = 1.0;', /integer/),
  inMain('index of a scalar', 'let x = 1.0; o[0] = x[0];', /cannot be indexed/),
  inMain('bitcast between sizes', 'let x = bitcast<vec2u>(1.0);', /bitcast/),
  inMain('too many arguments', 'o[0] = sqrt(1.0, 2.0);', /takes/),
  inMain('builtin on a wrong type', 'let x = sqrt(i);', /takes/),
  inMain('select with a number', 'let x = select(1, 2, 3);', /takes/),
  inMain('void as value', 'let x = workgroupBarrier();', /no value/),
  inMain('comparison of arrays', 'let x = array(1, 2) == array(1, 2);', /does not apply/),
  // constants
  inMain('integer literal too large', 'let x = 4294967296u;', /represented/),
  inMain('abstract overflow', 'let x = 9223372036854775807 + 1;', /overflow/),
  inMain('constant too large for i32', 'let x: i32 = 2147483648;', /represented/),
  inMain('constant division by zero', 'let x = 1 / 0;', /zero/),
  inMain('division of a variable by constant zero', 'let x = i / 0u;', /zero/),
  inMain('constant shift too far', 'let x = i << 32u;', /less than 32/),
  inMain('constant index out of bounds', 'var a: array<f32, 3>; o[0] = a[3];', /out of bounds/),
  inMain('negative index', 'o[-1] = 1.0;', /negative/),
  inMain('f32 overflow', 'let x = 1e39f;', /represented/),
  inMain('sqrt of a negative constant', 'const x = sqrt(-1.0);', /no value/),
  inMain('clamp with low above high', 'let x = clamp(o[0], 2.0, 1.0);', /low/),
  inMain('const from a variable', 'const x = i;', /const-expression/),
  atTop('array of length zero', 'const a = array<f32, 0>();', /at least 1/),
  atTop('failing const_assert', 'const_assert 1 > 2;', /failed/),
  // variables and memory
  inMain('assignment to let', 'let x = 1; x = 2;', /let/),
  inMain('assignment to a parameter', 'i = 2u;', /param/),
  {
    ...inMain('assignment to several components', 'var v = vec4f(); v.xy = vec2f(1);', /components/),
    feature: 'swizzle_assignment',
  },
  atTop(
    'write to read-only storage',
    '@group(0) @binding(0) var<storage, read> a: array<f32>;\nfn f() { a[0] = 1.0; }',
    /read-only/,
    2,
  ),
  atTop('write to uniform', '@group(0) @binding(0) var<uniform> a: vec4f;\nfn f() { a.x = 1.0; }', /read-only/, 2),
  atTop('storage without binding', 'var<storage, read> a: array<f32>;', /@group/),
  atTop('workgroup variable with a value', 'var<workgroup> a: f32 = 1.0;', /initial value/),
  atTop('bool in storage', '@group(0) @binding(0) var<storage> a: bool;', /bool/),
  atTop('runtime array in workgroup memory', 'var<workgroup> a: array<f32>;', /runtime/),
  atTop('runtime array in the middle of a struct', 'struct S { a: array<f32>, b: f32 }', /last/),
  {
    ...atTop('uniform array of floats', '@group(0) @binding(0) var<uniform> a: array<f32, 4>;', /16/),
    feature: 'uniform_buffer_standard_layout',
  },
  atTop('variable without address space', 'var a: f32;', /address space/),
  inMain('local runtime array', 'var a: array<f32>;', /local|runtime/),
  inMain('pointer in a var', 'var x = 1; var p = &x;', /pointer/i),
  inMain('address of a component', 'var v = vec2f(); let p = &v.x;', /component/),
  inMain('address of a value', 'let x = 1; let p = &x;', /variable/),
  atTop('atomic of f32', 'var<workgroup> a: atomic<f32>;', /atomic/),
  atTop('plain read of an atomic', 'var<workgroup> a: atomic<u32>;\nfn f() -> u32 { return a; }', /atomicLoad/, 2),
  atTop('atomic in private memory', 'var<private> a: atomic<u32>;', /atomic/),
  {
    name: 'two variables at one binding',
    source: `@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(0) var<storage, read_write> b: array<f32>;
@compute @workgroup_size(1) fn main() {
  a[0] = b[0];
}`,
    line: 2,
    message: /both/,
  },
  // functions and control flow
  atTop('missing return', 'fn f(x: f32) -> f32 { if (x > 0.0) { return 1.0; } }', /every path/),
  atTop('return of the wrong type', 'fn f() -> f32 { return 1u; }', /needs f32/),
  atTop('value from a function without result', 'fn f() { return 1; }', /returns nothing/),
  atTop('recursion', 'fn f() { g(); }\nfn g() { f(); }', /recursion|calls itself/, 2),
  atTop(
    'unused result of a must_use function',
    '@must_use fn f() -> f32 { return 1.0; }\nfn g() { f(); }',
    /not used/,
    2,
  ),
  inMain('unused builtin result', 'sqrt(2.0);', /not used/),
  atTop('wrong number of arguments', 'fn f(x: f32) {}\nfn g() { f(); }', /takes 1/, 2),
  atTop('wrong argument type', 'fn f(x: f32) {}\nfn g() { f(1u); }', /needs f32/, 2),
  atTop('call of an entry point', 'fn g() { main(); }', /entry point/),
  inMain('loop without end', 'loop { }', /never ends/),
  inMain('switch without default', 'switch 1 { case 1: { } }', /default/),
  inMain('switch with a case twice', 'switch 1 { case 1: { } case 1: { } default: { } }', /twice/),
  inMain('switch on a float', 'switch 1.0 { default: { } }', /switch/),
  inMain('case that is not constant', 'switch i { case i: { } default: { } }', /constant/),
  inMain('return in continuing', 'loop { break; continuing { return; } }', /continuing/),
  inMain(
    'continue past a declaration used in continuing',
    'var n = 0; loop { if (n > 3) { continue; } let x = 1; continuing { n += x; break if n > 9; } }',
    /skips/,
  ),
  // entry points
  { name: 'no workgroup size', source: '@compute fn main() {}', line: 1, message: /workgroup_size/ },
  {
    name: 'entry point that returns',
    source: '@compute @workgroup_size(1) fn main() -> f32 { return 1.0; }',
    line: 1,
    message: /cannot return/,
  },
  {
    name: 'parameter without builtin',
    source: '@compute @workgroup_size(1) fn main(x: u32) {}',
    line: 1,
    message: /builtin/,
  },
  {
    name: 'builtin of the wrong type',
    source: '@compute @workgroup_size(1) fn main(@builtin(workgroup_id) x: u32) {}',
    line: 1,
    message: /vec3/,
  },
  {
    name: 'workgroup size of zero',
    source: '@compute @workgroup_size(0) fn main() {}',
    line: 1,
    message: /at least 1/,
  },
  atTop('f16 without enable', 'fn f(x: f16) {}', /enable f16/),
  {
    name: 'enable after a declaration',
    source: 'const a = 1;\nenable f16;\n@compute @workgroup_size(1) fn main() {}',
    line: 2,
    message: /top/,
  },
  // uniformity
  inMain('barrier in a divergent branch', 'if (i < 2u) { workgroupBarrier(); }', /all invocations/),
  inMain('barrier after a divergent return', 'if (i < 2u) { return; } workgroupBarrier();', /all invocations/),
  inMain(
    'barrier in a loop of divergent length',
    'for (var k = 0u; k < i; k++) { workgroupBarrier(); }',
    /all invocations/,
  ),
  inMain(
    'barrier behind a divergent break',
    'for (var k = 0u; k < 4u; k++) { if (k == i) { break; } workgroupBarrier(); }',
    /all invocations/,
  ),
  inMain('barrier that depends on written storage', 'if (o[0] > 1.0) { workgroupBarrier(); }', /all invocations/),
  {
    name: 'barrier in a helper called divergently',
    source: `fn f() {
  workgroupBarrier();
}
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  if (i == 0u) { f(); }
}`,
    line: 2,
    message: /all invocations/,
  },
  {
    name: 'workgroupUniformLoad in a divergent branch',
    source: `var<workgroup> n: u32;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  if (i == 0u) { let x = workgroupUniformLoad(&n); }
}`,
    line: 3,
    message: /all invocations/,
  },
]
