exports.main = () => ({ greeting: require("weft-greeting") });
