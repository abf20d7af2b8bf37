// The look of a report: one column, light or dark as the reader's system is, nothing fetched.
import { Html } from './html.ts'

/**
 * The style sheet. Colours of series follow Okabe and Ito's palette, lightened or darkened until they stand out from
 * the page.
 */
export const style = new Html(`
:root { color-scheme: light dark; --page: #fff; --text: #1c2024; --faint: #667079; --rule: #dde2e6; --soft: #f3f5f7;
  --was: #aab4bd; --is: #0b7285;
  --c0: #0060a8; --c1: #c44f00; --c2: #00795a; --c3: #a8457f; --c4: #8a6d00; --c5: #2493c7; --c6: #7a52c7;
  --c7: #5b6670 }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --text: #e6e9ec; --faint: #98a2ab; --rule: #363d44;
  --soft: #20252a; --was: #5d6871; --is: #3bb6cc;
  --c0: #5aa9ee; --c1: #f08c4a; --c2: #35c79a; --c3: #e088bd; --c4: #e0c040; --c5: #83d0f5; --c6: #b59af0;
  --c7: #a9b4be } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif;
  -webkit-text-size-adjust: 100% }
main { max-width: 54rem; margin: 0 auto; padding: 1rem 1rem 3rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--rule) }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p { margin: .5rem 0 }
.small, small, .plot text { color: var(--faint) }
.small { font-size: .85rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .6rem 0 }
dt { color: var(--faint) }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere }
pre { background: var(--soft); border: 1px solid var(--rule); border-radius: 6px; padding: .7rem .8rem;
  margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .85rem/1.5 ui-monospace, monospace; user-select: all; -webkit-user-select: all }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1rem 0 }
.tile { background: var(--soft); border-radius: 8px; padding: .6rem .8rem }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; font-weight: 600; font-variant-numeric: tabular-nums }
.tile span { color: var(--faint); font-size: .85rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap }
th { font-weight: 500 }
thead th { color: var(--faint); font-size: .85rem }
th:first-child { text-align: left; padding-left: 0; white-space: normal; overflow-wrap: break-word }
.wide-cell { width: 34% }
.bars i, .bar i { display: block }
.bars i { height: 7px; border-radius: 2px; margin: 2px 0; min-width: 1px }
.was { background: var(--was) }
.is, .bar i { background: var(--is) }
.units { font-size: .85rem; font-variant-numeric: tabular-nums }
.unit { display: grid; grid-template-columns: minmax(7rem, 15rem) 1fr 6.2rem; gap: .7rem; align-items: center;
  line-height: 1.45 }
.unit.next { margin-top: .35rem }
.unit .name { overflow-wrap: anywhere }
.unit .name b { font-weight: 400; color: var(--faint) }
.unit .count { text-align: right; white-space: nowrap }
.bar { display: block; height: 11px; background: var(--rule); border-radius: 2px; overflow: hidden }
.bar i { height: 100% }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .4rem 0; padding: 0;
  font-size: .9rem }
.legend li { display: flex; align-items: center; gap: .4rem; overflow-wrap: anywhere }
.plot { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif }
.plot text { fill: currentColor }
.grid { stroke: var(--rule) }
.level { stroke: var(--faint); stroke-dasharray: 5 4 }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round }
.band { fill: currentColor; opacity: .18 }
.mark { fill: currentColor }
.narrow { display: none }
details { margin: .5rem 0 }
summary { cursor: pointer; padding: .25rem 0 }
figure { margin: 1rem 0 }
figure > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: .6rem }
figure img { display: block; width: 100%; height: auto; border: 1px solid var(--rule); border-radius: 4px;
  background: #fff }
figcaption { overflow-wrap: anywhere; margin-bottom: .3rem }
@media (max-width: 620px) {
  .narrow { display: block }
  .wide, .wide-cell { display: none }
  th, td { padding: .3rem; font-size: .85rem }
  .units { font-size: .8rem }
  .unit { grid-template-columns: minmax(6rem, 10rem) 1fr 4.8rem; gap: .5rem }
}
@media print { details { display: block } }
`)
