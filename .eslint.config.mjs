// Lint: what the type checker does not see. Every export carries a docstring, no promise is left unawaited, no `any`.
import jsdoc from 'eslint-plugin-jsdoc'
import tseslint from 'typescript-eslint'

const exported = [
  'ExportNamedDeclaration > TSInterfaceDeclaration',
  'ExportNamedDeclaration > TSTypeAliasDeclaration',
  'ExportNamedDeclaration > VariableDeclaration',
]

export default tseslint.config(
  {
    ignores: ['dist/', 'node_modules/', 'bench/peers/', '**/*.generated.ts', '**/*.d.ts', '**/*.mjs', 'test/fixtures/'],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', {
        args: 'after-used',
        argsIgnorePattern: '^_',
        varsIgnorePattern: '^_',
        caughtErrors: 'none',
      }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      'prefer-const': ['error', { destructuring: 'all' }],
      eqeqeq: ['error', 'smart'],
    },
  },
  {
    files: ['src/**/*.ts', 'models/**/*.ts', 'bench/**/*.ts', 'kernels/**/*.ts'],
    plugins: { jsdoc },
    rules: {
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 120, skipBlankLines: true, skipComments: true }],
      'jsdoc/require-jsdoc': ['error', {
        enableFixer: false,                 // an empty comment is no docstring
        publicOnly: { ancestorsOnly: true, cjs: false },
        require: {
          FunctionDeclaration: true,
          ClassDeclaration: true,
          ArrowFunctionExpression: false,
          FunctionExpression: false,
          MethodDefinition: false,
        },
        contexts: exported,
      }],
      'jsdoc/no-blank-blocks': 'error',
    },
  },
)
