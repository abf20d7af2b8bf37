// Heatmaps of some images before and after pruning, for reports.
import { attributionMethodOf } from '../attribution/methods.ts'
import type { Model } from '../nn/model.ts'
import type { ParsedCheckpoint } from '../checkpoint/checkpoint.ts'
import { type Dataset, pictureName } from '../data/datasets.ts'
import { sheet } from '../report/heatmap.ts'
import type { Heatmaps } from '../report/types.ts'
import { networkClasses } from './classes.ts'
import { Explainer, namelessClass, usualComposite } from './explainer.ts'

/** The first images of a data set, explained for their own class by both networks. */
export async function heatmapsOf(
  before: Model,
  after: Model,
  checked: ParsedCheckpoint,
  images: Dataset,
  count = 2,
): Promise<Heatmaps[]> {
  const composite = usualComposite(checked), { preprocessing } = images
  const methods = new Map([[composite, attributionMethodOf(composite, preprocessing)]])
  const names = checked.classes ?? images.classes ?? networkClasses(checked).names?.slice() ?? null
  const explainers = [before, after].map((model) =>
    new Explainer({ model, classes: checked.classCount, names, methods, preprocessing, flows: false, units: false })
  )
  const found: Heatmaps[] = []
  for await (
    const { images: values, shape, labels, indices } of images.batches({
      size: 1,
      only: Array.from({ length: Math.min(count, images.length) }, (_, i) => i),
    })
  ) {
    const name = `${names?.[labels[0]] ?? namelessClass(labels[0])}, ${pictureName(images, indices[0])}`
    const pictures: Uint8Array[] = []
    for (const explainer of explainers) {
      pictures.push(sheet(await explainer.explain({ values, shape, names: [name] }, [labels[0]]), '').png())
    }
    found.push({ name, before: pictures[0], after: pictures[1] })
  }
  return found
}
