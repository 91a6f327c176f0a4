export function main(): unknown {
  return { fine: true };
}

const broken = ); // @here
