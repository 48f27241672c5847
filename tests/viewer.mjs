// Opens a trace with the importer of speedscope, as its page does: node viewer.mjs FOLDER_OF_SPEEDSCOPE TRACE.
// The importer is a part of the page's only script, which fails later, since here is no window.
import fs from 'fs'
import vm from 'vm'

const folder = process.argv[2] + '/dist/release/'
let code = fs.readFileSync(folder + fs.readdirSync(folder).find(name => /^speedscope-.*\.js$/.test(name)), 'utf8')
const space = code.match(/(\w+)=\{\};[\w$]+\(\1,\{[^}]*importProfileGroupFromText:/)?.[1]
const load = space && code.match(new RegExp(`\\((\\w+)\\(\\),${space}\\)`))?.[0]
if (!load) {
    console.log('this speedscope has no importer that is found')
    process.exit(77)
}
code = code.replace('(()=>{', () => `(()=>{globalThis.importer=()=>${load};`)
try {
    vm.runInThisContext(code)
} catch (error) {
    if (!/window|document/.test(error)) throw new Error(String(error).slice(0, 200))
}

let warnings = 0
console.warn = (...words) => { warnings++; console.log('warning:', ...words) }
const text = fs.readFileSync(process.argv[3], 'utf8')
const spans = JSON.parse(text).traceEvents.filter(event => event.ph === 'X').length
const group = await globalThis.importer().importProfileGroupFromText('trace.json', text)
let calls = 0, depth = 0, most = 0
for (const profile of group.profiles) {
    profile.forEachCall(() => { calls++; most = Math.max(most, ++depth) }, () => { depth-- })
    console.log(profile.getName(), profile.formatValue(profile.getTotalWeight()))
}
console.log(`${spans} spans, ${calls} calls, depth ${most}, ${warnings} warnings`)
process.exit(spans > 0 && calls === spans && depth === 0 && most === 1 && warnings === 0 ? 0 : 1)
