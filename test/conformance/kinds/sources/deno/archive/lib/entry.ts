import beside from "beside";
import { nested } from "./deep/nested.ts";

export const main = (): unknown => ({ from: [nested, beside] });
