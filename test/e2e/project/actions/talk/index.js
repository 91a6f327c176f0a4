const { loud } = require("./lib/loud.js");
const { inner } = require("./lib/inner.js");

exports.talk = ({ text = "hi" }) => ({ text: loud(text), inner });
