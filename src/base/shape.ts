// Shapes as plain lists of extents.

/** How many elements a shape has; 1 for that of a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1)
