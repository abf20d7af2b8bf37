// For tools that do not know overrides.

/**
 * The text with overrides made constants, on the lines they were: wgsl_reflect does not know sizes that depend on
 * overrides.
 */
export function constantText(source: string, constants: Readonly<Record<string, number>>): string {
  return source.replace(
    /(?:@id\(\s*(\w+)\s*\)\s*)?\boverride\s+(\w+)\s*(?::\s*(\w+)\s*)?(?:=\s*([^;]+))?;/g,
    (declaration, id: string | undefined, name: string, type: string | undefined, initial = '0') => {
      const set = constants[id === undefined ? name : String(parseInt(id))] ?? constants[name]
      const kind = type ?? (/\btrue|false\b/.test(initial)
        ? 'bool'
        : /\du$/.test(initial)
        ? 'u32'
        : /[.\df]f$|\./.test(initial)
        ? 'f32'
        : 'i32')
      const value = set === undefined ? initial : kind === 'bool' ? String(Boolean(set)) : `${kind}(${set})`
      return `const ${name}: ${kind} = ${value};${'\n'.repeat(declaration.split('\n').length - 1)}`
    },
  )
}
