// The syntax tree. The parser fills the structure, the checker the fields marked "checker".
import type { Span } from './lexer.ts'
import type { Space, Struct, Type } from './types.ts'
import type { Value } from './values.ts'

/** What an expression denotes if it is a place in memory and not a value. */
export interface Reference {
  space: Space
  access: 'read' | 'write' | 'read_write'
}

interface ExprBase extends Span {
  /** Checker: the value's type; for a reference the type that is stored there. */
  type: Type
  /** Checker: set if this is a memory location. */
  ref?: Reference
  /** Checker: the value if it is a const-expression. */
  value?: Value
  /** Checker: when the value is known. */
  stage: 'const' | 'override' | 'runtime'
  /** Checker: calls something that may write memory or wait. */
  effects: boolean
}
/** A number literal with its suffix. */
export interface NumberExpr extends ExprBase {
  kind: 'number'
  text: string
  suffix: string
  isFloat: boolean
}
/** `true` or `false`. */
export interface BoolExpr extends ExprBase {
  kind: 'bool'
  truth: boolean
}
/** An identifier, with template arguments where it names a type; `decl` (checker) is what it stands for. */
export interface NameExpr extends ExprBase {
  kind: 'name'
  name: string
  template: Expr[] | null
  decl?: Decl
}
/** A prefix operator. */
export interface UnaryExpr extends ExprBase {
  kind: 'unary'
  op: '-' | '!' | '~' | '&' | '*'
  operand: Expr
}
/** An infix operator. */
export interface BinaryExpr extends ExprBase {
  kind: 'binary'
  op: string
  left: Expr
  right: Expr
}
/** `base[index]`. */
export interface IndexExpr extends ExprBase {
  kind: 'index'
  base: Expr
  index: Expr
}
/** `member` (checker) is the struct member's index, `swizzle` the components of a vector. */
export interface MemberExpr extends ExprBase {
  kind: 'member'
  base: Expr
  name: string
  member: number
  swizzle: number[] | null
}
/** `target` (checker): a declared function, a builtin's name, or a type to construct. */
export interface CallExpr extends ExprBase {
  kind: 'call'
  callee: string
  template: Expr[] | null
  args: Expr[]
  target?: { kind: 'function', decl: FunctionDecl } | { kind: 'builtin', name: string } | {
    kind: 'construct',
    type: Type,
  } | { kind: 'bitcast' }
}
/** Any expression. */
export type Expr = NumberExpr | BoolExpr | NameExpr | UnaryExpr | BinaryExpr | IndexExpr | MemberExpr | CallExpr

/** `@name(args)`. */
export interface Attribute extends Span {
  name: string
  args: Expr[]
}
/** A member as declared. */
export interface StructMemberDecl extends Span {
  name: string
  typeExpr: Expr
  attributes: Attribute[]
}
/** A struct declaration; `type` (checker) is its layout. */
export interface StructDecl extends Span {
  kind: 'struct'
  name: string
  members: StructMemberDecl[]
  type?: Struct
}
/** `alias name = type`. */
export interface AliasDecl extends Span {
  kind: 'alias'
  name: string
  typeExpr: Expr
  type?: Type
}
/** Variables and constants, global or local. `assigned` (checker): written after its declaration. */
export interface VarDecl extends Span {
  kind: 'var' | 'let' | 'const' | 'override' | 'param'
  name: string
  typeExpr: Expr | null
  init: Expr | null
  attributes: Attribute[]
  spaceNames: string[]
  global: boolean
  type: Type
  space: Space
  access: 'read' | 'write' | 'read_write'
  value?: Value
  stage: 'const' | 'override' | 'runtime'
  assigned: boolean
  /** Resource variables. */
  group: number
  binding: number
  /** Overrides. */
  id: number | null
  /** Entry point parameters. */
  builtin: string | null
}
/** A function; entry points carry `workgroupSize`. */
export interface FunctionDecl extends Span {
  kind: 'function'
  name: string
  params: VarDecl[]
  resultExpr: Expr | null
  result: Type
  body: Block
  attributes: Attribute[]
  workgroupSize: Expr[] | null
  /** Checker: functions called directly, resource and workgroup variables named directly. */
  calls: Map<FunctionDecl, Span>
  globals: Set<VarDecl>
  mustUse: boolean
  checked: boolean
}
/** `const_assert condition`. */
export interface ConstAssert extends Span {
  kind: 'const_assert'
  condition: Expr
}
/** Anything a name can stand for. */
export type Decl = StructDecl | AliasDecl | VarDecl | FunctionDecl

/** Statements in braces, a scope of their own. */
export interface Block extends Span {
  kind: 'block'
  body: Stmt[]
}
/** A local declaration. */
export interface DeclStmt extends Span {
  kind: 'decl'
  decl: VarDecl
}
/** `op` is '' for plain assignment, else the binary operator; `target` null is the phony `_ = value`. */
export interface AssignStmt extends Span {
  kind: 'assign'
  target: Expr | null
  op: string
  value: Expr
}
/** `target++` or `target--`. */
export interface StepStmt extends Span {
  kind: 'step'
  target: Expr
  by: 1 | -1
}
/** `if` with its `else`, if any. */
export interface IfStmt extends Span {
  kind: 'if'
  condition: Expr
  then: Block
  otherwise: Block | IfStmt | null
}
/** A selector of null stands for `default`. */
export interface SwitchStmt extends Span {
  kind: 'switch'
  value: Expr
  clauses: { selectors: (Expr | null)[], body: Block }[]
}
/** `loop`, with `continuing` and `break if`; `while` becomes one too. */
export interface LoopStmt extends Span {
  kind: 'loop'
  body: Block
  continuing: Block | null
  breakIf: Expr | null
}
/** `for`; each part may be missing. */
export interface ForStmt extends Span {
  kind: 'for'
  init: Stmt | null
  condition: Expr | null
  update: Stmt | null
  body: Block
}
/** `break` or `continue`. */
export interface JumpStmt extends Span {
  kind: 'break' | 'continue'
}
/** `return`, with a value or without. */
export interface ReturnStmt extends Span {
  kind: 'return'
  value: Expr | null
}
/** A call for its effects. */
export interface CallStmt extends Span {
  kind: 'call'
  call: CallExpr
}
/** Any statement. */
export type Stmt =
  | Block
  | DeclStmt
  | AssignStmt
  | StepStmt
  | IfStmt
  | SwitchStmt
  | LoopStmt
  | ForStmt
  | JumpStmt
  | ReturnStmt
  | CallStmt
  | ConstAssert

/** A whole module, as parsed; the checker puts declarations in `scope`. */
export interface Program {
  decls: Decl[]
  asserts: ConstAssert[]
  enables: Set<string>
  scope: Map<string, Decl>
}

/** The statements and expressions directly inside one. */
export function inside(node: Stmt | Expr): (Stmt | Expr | null)[] {
  switch (node.kind) {
    case 'unary':
      return [node.operand]
    case 'binary':
      return [node.left, node.right]
    case 'index':
      return [node.base, node.index]
    case 'member':
      return [node.base]
    case 'call':
      return 'call' in node ? [node.call] : node.args
    case 'block':
      return node.body
    case 'decl':
      return [node.decl.init]
    case 'assign':
      return [node.target, node.value]
    case 'step':
      return [node.target]
    case 'if':
      return [node.condition, node.then, node.otherwise]
    case 'switch':
      return [node.value, ...node.clauses.map((c) => c.body)]
    case 'loop':
      return [node.body, node.continuing, node.breakIf]
    case 'for':
      return [node.init, node.condition, node.update, node.body]
    case 'return':
      return [node.value]
    default:
      return []
  }
}

/**
 * Visits a statement or expression and everything inside it, outside first; `enter` returns false to skip what is
 * inside.
 */
export function walk(node: Stmt | Expr, enter: (node: Stmt | Expr) => boolean | void): void {
  if (enter(node) === false) return
  for (const part of inside(node)) if (part) walk(part, enter)
}
