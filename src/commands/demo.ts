// `espalier demo`: the whole story on the networks and images that ship with the package. A ResNet-20 is pruned by
// relevance and, for comparison, at random; fine-tuned, saved, read back, evaluated and explained; a transformer by a
// method that learns; the report says it all.
import { join, resolve } from 'node:path'
import { close, init } from '../gpu/device.ts'
import { lockFolder } from '../files/lock.ts'
import { makeFolder, openOutput, type Output, writeOutput } from '../files/output.ts'
import { packageFile, packageVersion } from '../files/package.ts'
import { meanArea, measureCurve, topRate, trapezoidArea } from '../pruning/curve.ts'
import { criterionOf } from '../pruning/methods/index.ts'
import { Trials } from '../pruning/trial.ts'
import { htmlReport } from '../report/report.ts'
import type { Curve } from '../report/types.ts'
import type { CommandSpec, CommonOptions } from './command.ts'
import { claimOutputs, filesRead, namedFolder } from './claims.ts'
import { commandLine } from './command-line.ts'
import { transformerDemo } from './demo-transformer.ts'
import { percent } from './model.ts'
import { pruneJob } from './prune-run.ts'
import { filesWritten, jsonBeside, type PruneOptions } from './prune-setup.ts'
import { cacheReferences, cacheTest, openModel, prepareJob, scoresBy } from './pruner.ts'

const data = (name: string) => packageFile(`models/data/cifar10/${name}`)
const rates = [0, 0.1, 0.2, 0.3], methods = ['pxp', 'random'], macs = 0.7

interface DemoOptions extends CommonOptions {
  out: string
  overwrite?: boolean
}

/** The command `espalier demo`. */
export const demo: CommandSpec<DemoOptions> = {
  name: 'demo',
  summary: 'the whole story on the network and images that ship with the package: prune by relevance, check, '
    + 'compare with chance, explain, report',
  example: 'espalier demo --out espalier-demo --overwrite',
  declare(command) {
    command.option('--out <folder>', 'where the pruned network and the report go', 'espalier-demo')
      .option('--overwrite', 'replace what is there of an earlier demo')
  },
  async run({ out, overwrite = false, adapter, threads, seed = 0, json, quiet }, reporter) {
    const network = data('resnet20.safetensors')
    const options: PruneOptions & { args: string[] } = {
      args: [network],
      data: `cifar10:${data('train100.bin')}`,
      test: `cifar10:${data('test200.bin')}`,
      out: join(out, 'resnet20-pruned.safetensors'),
      report: join(out, 'report.html'),
      method: 'pxp',
      macs,
      batch: 50,
      seed,
      adapter,
      threads,
      json,
      quiet,
      aggregation: 'mean-of-abs',
      residual: 'coupled',
      ranking: 'global',
      multiple: 4,
      minimum: 1,
      steps: 1,
      finetune: 10,
      rate: 1e-3,
    }
    const job = await prepareJob(network, options, reporter)
    namedFolder('--out', out)
    claimOutputs(filesWritten(options), filesRead({ model: network, ...job }), overwrite)
    makeFolder(out)
    const lock = lockFolder(out)
    let output: Output | null = null
    try {
      output = openOutput(options.out)
      const gpu = await init({ adapter, threads })
      reporter.say(
        `espalier demo on ${gpu.adapter.name}: ResNet-20, trained on CIFAR-10, is to lose ${
          percent(1 - macs, 0)
        } of its multiply-adds`,
      )
      const model = openModel(job)
      const references = await cacheReferences(job, options, reporter)
      const test = await cacheTest(job.test!, reporter)
      const curves: Curve[] = []
      for (const method of methods) {
        const progress = reporter.progress(`pruning by ${method === 'pxp' ? 'relevance' : 'chance'}`, rates.length)
        // A newcomer waits: filters that chance took away take no other time than those of relevance.
        const clock = method === 'pxp', how = { batch: options.batch, clock }
        const trials = new Trials(model, job.found, job.input, test, how)
        const points: Curve['points'] = []
        await measureCurve({
          trials,
          units: job.chosen,
          select: { multipleOf: 1, minimum: 1 },
          rates,
          scores: () => scoresBy(method, criterionOf(method), model, job, references, options, reporter),
          onPoint({ rate, result: { top1, macs, params, msPerImage, timeShare } }) {
            points.push({ rate, top1, macs, params, msPerImage, timeShare, seeds: 1 })
            progress.update(points.length, `${percent(rate, 0)} of the filters gone, top-1 ${percent(top1, 1)}`)
          },
        })
        progress.stop()
        const accuracies = points.map(({ top1 }) => top1)
        curves.push({
          name: method,
          area: meanArea(accuracies),
          trapezoid: trapezoidArea(rates, accuracies),
          topRate: topRate(rates, accuracies, accuracies[0]),
          points,
        })
      }
      const result = await pruneJob(job, options, reporter, output, gpu.adapter.name)
      const comparison = await transformerDemo(reporter, seed)
      const report = {
        ...result.report,
        comparison,
        title: 'Espalier demo: ResNet-20 on CIFAR-10, pruned by relevance',
        command: commandLine(),
        curves,
      }
      writeOutput(options.report!, htmlReport(report))
      writeOutput(jsonBeside(options.report!), `${JSON.stringify({ ...result.json, curves, comparison }, null, 1)}\n`)
      const [relevance, chance] = curves.map(({ points }) => points.at(-1)!)
      const page = resolve(options.report!)
      return {
        json: {
          ...result.json,
          curves: curves.map(({ name, ...curve }) => ({ method: name, ...curve })),
          comparison,
          report: page,
          seed,
          adapter: gpu.adapter.name,
          version: packageVersion(),
        },
        text: [
          result.text,
          `  at ${percent(relevance.rate, 0)} of the filters: top-1 ${percent(relevance.top1, 1)} by relevance, ${
            percent(chance.top1, 1)
          } at random`,
          `  a ViT for digits, 40 % of its multiply-adds, as many images seen in training: top-1 ${
            comparison.runs.map(({ method, top1 }) => `${percent(top1, 1)} ${method}`).join(', ')
          }`,
          `report with curves, kept filters and heatmaps: ${page}`,
          `next: npx espalier eval ${options.out} --data ${options.test!}`,
        ].join('\n'),
      }
    } finally {
      output?.abandon()
      lock.release()
      await close()
    }
  },
}
