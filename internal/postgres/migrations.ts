// Every change of the schema, in order. A migration is never edited after it was merged: databases remember its text.

import { initial } from "./migrations/0001-initial.js";
import { activationIndexes } from "./migrations/0002-activation-indexes.js";
import { sequences } from "./migrations/0003-sequences.js";
import { bindings } from "./migrations/0004-bindings.js";
import { namespaceOverrides } from "./migrations/0005-namespace-overrides.js";
import { feeds } from "./migrations/0006-feeds.js";
import { subjects } from "./migrations/0007-subjects.js";
import { apis } from "./migrations/0008-apis.js";
import { builds } from "./migrations/0009-builds.js";
import { maxInstances } from "./migrations/0010-max-instances.js";

export interface Migration {
  /** From 1, without gaps. */
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

export const migrations: readonly Migration[] = [
  { number: 1, name: "initial", sql: initial },
  { number: 2, name: "activation-indexes", sql: activationIndexes },
  { number: 3, name: "sequences", sql: sequences },
  { number: 4, name: "bindings", sql: bindings },
  { number: 5, name: "namespace-overrides", sql: namespaceOverrides },
  { number: 6, name: "feeds", sql: feeds },
  { number: 7, name: "subjects", sql: subjects },
  { number: 8, name: "apis", sql: apis },
  { number: 9, name: "builds", sql: builds },
  { number: 10, name: "max-instances", sql: maxInstances },
];
