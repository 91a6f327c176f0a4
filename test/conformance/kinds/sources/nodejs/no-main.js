exports.another = () => ({ fine: true });
