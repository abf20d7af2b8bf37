// Race mode: a shadow of memory that remembers who wrote and who read each word since the last barrier. Workgroup
// memory has a shadow word for word; storage has a table of fixed size, in which an entry that is in the way is
// forgotten.
import { reportKind } from '../abi.ts'
import { Code } from './encode.ts'
import type { WasmFunction } from './encode.ts'

const entries = 8192 // of the storage table
const header = 16 // epoch, number of the workgroup
/**
 * Fields of an entry: workgroup and tag (epoch * 2048 + invocation + 1, 0 for nobody) of the last writer and reader;
 * storage also the address.
 */
const field = { writerGroup: 0, writer: 4, readerGroup: 8, reader: 12, address: 16 }
const workgroupEntry = 16, storageEntry = 32
/** In the low bits of a reader's tag: several invocations have read. */
const several = 2047

/** Bytes of scratch memory the shadow takes. */
export const shadowBytes = (workgroupBytes: number): number =>
  header + workgroupBytes * (workgroupEntry / 4) + entries * storageEntry

/** The two functions race mode adds to a module: `trace` (first) and `epoch`. */
export function raceFunctions(
  { workgroupBytes, shadowOffset }: { workgroupBytes: number, shadowOffset: number },
): WasmFunction[] {
  const shadow = shadowOffset + header, table = shadow + workgroupBytes * (workgroupEntry / 4)
  return [traceFunction(shadowOffset, shadow, table), epochFunction(shadowOffset, shadow, table, workgroupBytes)]
}

/** epoch(scratch, kind): 0 a barrier, 1 the next workgroup begins, 2 a call of `run` begins. */
function epochFunction(at: number, shadow: number, table: number, workgroupBytes: number): WasmFunction {
  const code = new Code(), [scratch, kind] = [0, 1]
  const increment = (offset: number) =>
    code.get(scratch).get(scratch).memory('i32.load', offset).i32(1).op('i32.add').memory('i32.store', offset)
  const clear = (offset: number, bytes: number) => {
    if (bytes) code.get(scratch).i32(offset).op('i32.add').i32(0).i32(bytes).fill()
  }
  code.get(kind).i32(2).op('i32.eq').if()
  clear(at, header)
  clear(table, entries * storageEntry)
  code.end()
  code.get(kind).i32(1).op('i32.eq').if()
  clear(shadow, workgroupBytes * (workgroupEntry / 4))
  increment(at + 4)
  code.end()
  increment(at)
  return { params: ['i32', 'i32'], results: [], locals: [], body: code }
}

/**
 * trace(scratch, address, words, write, line, where, invocation, base): where is the variable's id, 65536 added for
 * storage.
 */
function traceFunction(at: number, shadow: number, table: number): WasmFunction {
  const code = new Code()
  const [scratch, address, words, write, line, where, invocation, base, entry, tag, epoch, group, other] = Array.from({
    length: 13,
  }, (_, i) => i)
  const load = (offset: number) => code.get(entry).memory('i32.load', offset)
  const store = (offset: number, value: number) => code.get(entry).get(value).memory('i32.store', offset)
  code.get(scratch).memory('i32.load', at).set(epoch)
  code.get(scratch).memory('i32.load', at + 4).set(group)
  code.get(epoch).i32(11).op('i32.shl').get(invocation).op('i32.add').i32(1).op('i32.add').set(tag)

  /**
   * Leaves 1 if the access noted at `who` conflicts with this one: of another workgroup, or of another invocation since
   * the barrier.
   */
  const conflict = (groupField: number, who: number) => {
    load(who).set(other)
    code.get(other).i32(0).op('i32.ne')
    load(groupField).get(group).op('i32.ne')
    code.get(other).i32(11).op('i32.shr_u').get(epoch).op('i32.eq').get(other).get(tag).op('i32.ne').op('i32.and')
    code.op('i32.or').op('i32.and')
  }
  const report = (pair: number) => {
    code.get(where).i32(0x10000).op('i32.and').if('i32').i32(reportKind.raceStorage).else().i32(
      reportKind.raceWorkgroup,
    ).end()
    code.get(line)
    code.get(where).i32(0xffff).op('i32.and').i32(8).op('i32.shl').i32(pair).op('i32.or')
    const word = () => code.get(address).get(base).op('i32.sub').i32(2).op('i32.shr_u')
    code.get(where).i32(0x10000).op('i32.and').if('i32')
    word()
    code.else()
    word().i32(16).op('i32.shl').get(other).i32(2047).op('i32.and').i32(1).op('i32.sub').op('i32.or')
    code.end().call(0)
  }

  code.loop()
  code.get(where).i32(0x10000).op('i32.and').if()
  code.get(address).i32(2).op('i32.shr_u').i32(-1640531535).op('i32.mul').i32(19).op('i32.shr_u').i32(5).op('i32.shl')
    .get(scratch).op('i32.add').i32(table).op('i32.add').set(entry)
  load(field.address).get(address).op('i32.ne').if()
  code.get(entry).i32(0).i32(storageEntry).fill()
  store(field.address, address)
  code.end()
  code.else()
  code.get(address).get(scratch).op('i32.sub').i32(2).op('i32.shl').get(scratch).op('i32.add').i32(shadow).op('i32.add')
    .set(entry)
  code.end()

  code.get(write).if()
  conflict(field.writerGroup, field.writer)
  code.if()
  report(0)
  code.else()
  conflict(field.readerGroup, field.reader)
  code.if()
  report(2)
  code.end().end()
  store(field.writerGroup, group)
  store(field.writer, tag)
  code.else()
  conflict(field.writerGroup, field.writer)
  code.if()
  report(1)
  code.end()
  conflict(field.readerGroup, field.reader) // a second reader: from now on whoever writes meets several
  code.if()
  code.get(epoch).i32(11).op('i32.shl').i32(several).op('i32.or').set(other)
  store(field.reader, other)
  code.else()
  store(field.reader, tag)
  code.end()
  store(field.readerGroup, group)
  code.end()

  code.get(address).i32(4).op('i32.add').set(address)
  code.get(words).i32(1).op('i32.sub').i32(0).op('i32.gt_s')
  code.get(words).i32(1).op('i32.sub').set(words)
  code.brIf(0).end()
  return { params: Array<'i32'>(8).fill('i32'), results: [], locals: Array<'i32'>(5).fill('i32'), body: code }
}
