const { nested } = require("./deep/nested");
const beside = require("beside");

exports.main = () => ({ from: [nested, beside] });
