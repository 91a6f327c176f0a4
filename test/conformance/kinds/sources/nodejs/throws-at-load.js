function prepare() {
  throw new Error("no luck"); // @here
}

prepare();

exports.main = () => ({ fine: true });
