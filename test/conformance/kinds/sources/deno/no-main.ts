export const another = (): unknown => ({ fine: true });
