// The rooms of the house, from the ground up. A file may import from its own room and from those before it, never from
// one above; and no files may import each other in a circle, but for those of a recursion that is one in WGSL's
// grammar.
const floors = [
  ['base', 'cpu'],
  ['gpu'],
  ['core'],
  ['ops'],
  ['nn', 'files', 'testing'],
  ['sparse', 'data'],
  ['train', 'attribution', 'onnx'],
  ['pruning'],
  ['models'],
  ['checkpoint'],
  ['report'],
  ['sweeps'],
  ['api'],
  ['bench'],
  ['entries'],
  ['commands'],
]
const where = {
  models: '^models/',
  bench: '^bench/',
  api: '^src/(index|models)\\.ts$',
  entries: '^src/(bench|testing)\\.ts$',
}
const pathOf = (room) => where[room] ?? `^src/${room}/`

const up = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `${room}-knows-only-what-is-below`,
    comment: `src/${room} may import ${floors.slice(0, floor).flat().join(', ') || 'nothing'}`,
    severity: 'error',
    from: { path: pathOf(room) },
    to: { path: floors.slice(floor).flat().filter((other) => other !== room).map(pathOf) },
  })).filter(({ to }) => to.path.length)
)

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...up,
    {
      name: 'no-circle',
      comment: 'files that import each other; types apart, only the checker and the lowering of WGSL recurse',
      severity: 'error',
      from: { pathNot: '^src/cpu/compiler/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { path: '^(src|models|bench)/' },
      to: { path: '^test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.generated\\.ts$' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
}
