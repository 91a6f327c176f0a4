function main(params) {
  return { fine: true };
}

const broken = ); // @here
