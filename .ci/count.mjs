// Reads vitest's JSON report (first argument) and the exit status of the run (second), names what was skipped, and
// prints "N passed, N failed, N skipped" last. Ends with 1 when anything failed, nothing ran, or a test of the fixtures
// was skipped.
import { existsSync, readFileSync } from 'node:fs'

const [path, status = '0'] = process.argv.slice(2)
const files = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).testResults : []
const tests = files.flatMap((file) => file.assertionResults)
const passed = tests.filter((test) => test.status === 'passed').length
// A file that does not load has failed without a single test.
const broken = files.filter((file) => file.status === 'failed' && !file.assertionResults.length) // no test of it ran
const failed = tests.filter((test) => test.status === 'failed').length + broken.length
const skipped = tests.filter((test) => test.status !== 'passed' && test.status !== 'failed')
const fixtures = skipped.filter((test) => /golden|fixture/i.test(test.fullName))

const problems = []
if (passed + failed === 0) problems.push('no test ran')
if (fixtures.length) {
  problems.push(`${fixtures.length} tests of the fixtures were skipped, e.g. '${fixtures[0].fullName}'`)
}
if (status !== '0') problems.push(`the test run ended with ${status}`)

for (const test of skipped) console.log(`skipped: ${test.fullName}`)
for (const problem of problems) console.log(`FAILED: ${problem}`)
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`)
process.exit(problems.length || failed ? 1 : 0)
