// A process of its own for `bench embedded`: milliseconds from the import of the package to the first result on the
// host.
const begin = performance.now()
const { add, close, init, tensor } = await import('espalier')
await init({ adapter: 'cpu', threads: Number(process.argv[2]) })
const values = await add(tensor(new Float32Array(64).fill(1)), tensor(new Float32Array(64).fill(2))).data()
const ms = performance.now() - begin
if (!values.every((value) => value === 3)) throw new Error(`1 + 2 gave ${String(values)}`)
console.log(ms)
await close()
