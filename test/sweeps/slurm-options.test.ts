import { describe, expect, test } from 'vitest'
import { InputError } from '../../src/base/errors.ts'
import { parseSlurmOptions } from '../../src/sweeps/slurm-options.ts'

describe('options of sbatch', () => {
  test.each([
    ['', []],
    ['  --partition=gpu   --time=2:00:00\n', ['--partition=gpu', '--time=2:00:00']],
    ['--partition gpu -p gpu -c4 -H', ['--partition=gpu', '-pgpu', '-c4', '-H']],
    [`--comment="two words" --comment='$HOME \`id\`'`, ['--comment=two words', '--comment=$HOME `id`']],
    ['--comment=a\\ b --comment="\\"" --comment=\'\\\'', ['--comment=a b', '--comment="', '--comment=\\']],
    ['--exclusive evil.sh', ['--exclusive=evil.sh']],
    ['--gres=gpu:1 --export=ALL --exclusive', ['--gres=gpu:1', '--export=ALL', '--exclusive']],
    ['--wait-all-nodes=1', ['--wait-all-nodes=1']],
  ])('%j', (text, wanted) => {
    expect(parseSlurmOptions(text)).toEqual(wanted)
  })

  test.each([
    ['evil.sh', /expected an option of sbatch/],
    ['--time=1 evil.sh', /expected an option of sbatch/],
    ['--exclusive=user ; rm', /';': expected an option/],
    ['--', /expected an option of sbatch/],
    ['-', /expected an option of sbatch/],
    ['--array=0-3', /--array cannot be given, --parallel says/],
    ['--arr=0-3', /--array cannot be given/],
    ['-a0-3', /--array cannot be given/],
    ['-d afterok:1', /--dependency cannot be given/],
    ['--outp=x', /--output cannot be given/],
    ['--wrap=id', /--wrap cannot be given/],
    ['--wra=id', /--wrap cannot be given/],
    ['--no-r', /--no-requeue cannot be given/],
    ['-Ha0', /write them apart/],
    ['--comment="open', /expected a second "/],
    ["--comment='open", /expected a second '/],
    ['--comment=a\0b', /zero byte/],
  ])('%j is refused', (text, said) => {
    expect(() => parseSlurmOptions(text)).toThrow(said)
    expect(() => parseSlurmOptions(text)).toThrow(InputError)
  })
})
