// Race mode: a shadow of memory that remembers who wrote and who read each word since the last barrier that orders it.
// Workgroup memory has a shadow word for word; storage has a table of fixed size, in which an entry is forgotten when
// more words are touched than it holds. `workgroupBarrier` orders workgroup memory only, `storageBarrier` storage only,
// so each kind of memory has an epoch of its own. Nothing orders workgroups within a dispatch.
import { reportKind } from '../abi.ts'
import { Code, importedFunction } from './encode.ts'
import type { WasmFunction } from './encode.ts'

const entryBits = 17
/** Words of storage that race mode remembers in one dispatch. */
export const rememberedWords = 2 ** entryBits
/** Entries looked at for a word before one is forgotten. */
const probes = 8
const header = 16
const headerField = { workgroupEpoch: 0, group: 4, storageEpoch: 8 }
/** What opens a new epoch; the second argument of the `epoch` function. */
export const epochKind = { workgroupBarrier: 0, nextWorkgroup: 1, run: 2, storageBarrier: 3 } as const
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
  header + workgroupBytes * (workgroupEntry / 4) + rememberedWords * storageEntry

/** The two functions race mode adds to a module: `trace` (first) and `epoch`. */
export function raceFunctions(
  { workgroupBytes, shadowOffset }: { workgroupBytes: number, shadowOffset: number },
): WasmFunction[] {
  const shadow = shadowOffset + header, table = shadow + workgroupBytes * (workgroupEntry / 4)
  return [traceFunction(shadowOffset, shadow, table), epochFunction(shadowOffset, shadow, table, workgroupBytes)]
}

/** epoch(scratch, kind): see `epochKind`; a call of `run` is a whole dispatch in race mode. */
function epochFunction(at: number, shadow: number, table: number, workgroupBytes: number): WasmFunction {
  const code = new Code(), [scratch, kind] = [0, 1]
  const increment = (offset: number) =>
    code.get(scratch).get(scratch).memory('i32.load', offset).i32(1).op('i32.add').memory('i32.store', offset)
  const clear = (offset: number, bytes: number) => {
    if (bytes) code.get(scratch).i32(offset).op('i32.add').i32(0).i32(bytes).fill()
  }
  code.get(kind).i32(epochKind.run).op('i32.eq').if()
  clear(at, header)
  clear(table, rememberedWords * storageEntry)
  code.end()
  code.get(kind).i32(epochKind.nextWorkgroup).op('i32.eq').if()
  clear(shadow, workgroupBytes * (workgroupEntry / 4))
  increment(at + headerField.group)
  code.end()
  code.get(kind).i32(epochKind.storageBarrier).op('i32.ne').if()
  increment(at + headerField.workgroupEpoch)
  code.end()
  code.get(kind).i32(epochKind.workgroupBarrier).op('i32.ne').if()
  increment(at + headerField.storageEpoch)
  code.end()
  return { params: ['i32', 'i32'], results: [], locals: [], body: code }
}

/**
 * trace(scratch, address, words, write, line, where, invocation, base): where is the variable's id, 65536 added for
 * storage.
 */
function traceFunction(at: number, shadow: number, table: number): WasmFunction {
  const code = new Code()
  const [scratch, address, words, write, line, where, invocation, base, entry, tag, epoch, group, other, hash, probe] =
    Array.from({ length: 15 }, (_, i) => i)
  const load = (offset: number) => code.get(entry).memory('i32.load', offset)
  const store = (offset: number, value: number) => code.get(entry).get(value).memory('i32.store', offset)
  code.get(where).i32(0x10000).op('i32.and').if('i32')
  code.get(scratch).memory('i32.load', at + headerField.storageEpoch)
  code.else()
  code.get(scratch).memory('i32.load', at + headerField.workgroupEpoch)
  code.end().set(epoch)
  code.get(scratch).memory('i32.load', at + headerField.group).set(group)
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
    code.end().call(importedFunction.report)
  }

  /** The word's entry in the table, a new one if it has none; the first of those looked at if all are taken. */
  const findEntry = () => {
    const at = (turn: () => void) => {
      code.get(hash)
      turn()
      code.i32(rememberedWords - 1).op('i32.and').i32(5).op('i32.shl').get(scratch).op('i32.add').i32(table).op(
        'i32.add',
      ).set(entry)
    }
    code.get(address).i32(2).op('i32.shr_u').i32(-1640531535).op('i32.mul').i32(32 - entryBits).op('i32.shr_u')
      .set(hash)
    code.i32(0).set(probe)
    code.block().loop()
    at(() => code.get(probe).op('i32.add'))
    load(field.address).get(address).op('i32.eq').brIf(1)
    load(field.address).op('i32.eqz').if()
    store(field.address, address)
    code.br(2).end()
    code.get(probe).i32(1).op('i32.add').tee(probe).i32(probes).op('i32.lt_u').brIf(0)
    at(() => undefined)
    code.get(entry).i32(0).i32(storageEntry).fill()
    store(field.address, address)
    code.end().end()
  }

  code.loop()
  code.get(where).i32(0x10000).op('i32.and').if()
  findEntry()
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
  return { params: Array<'i32'>(8).fill('i32'), results: [], locals: Array<'i32'>(7).fill('i32'), body: code }
}
