// Parameters on their way from and to clients. Installations may hide them, as OpenWhisk with encryption does: reads give
// envelopes, and a write takes back what was read.

import type { Exec, KeyValue } from "../core/action/types.js";
import type { KeyRing } from "../core/sealing/key-ring.js";
import { givenParameters, shownSealed, type ShownKeyValue } from "../core/sealing/parameters.js";
import type { KeyValue as WireKeyValue } from "../gen/weft/common/v1/common.pb.js";

interface Parametered {
  readonly namespace: string;
  readonly parameters: readonly KeyValue[];
  readonly exec?: Pick<Exec, "components">;
}

export class Parameters {
  /** @param hidden reads give envelopes; needs a ring with a current key */
  constructor(
    private readonly ring: KeyRing,
    private readonly hidden: boolean,
  ) {}

  /** As a client sent them for an entity of `namespace`. @throws invalidArgument */
  given(field: string, namespace: string, list: readonly WireKeyValue[]): readonly KeyValue[] {
    return givenParameters(this.ring, field, namespace, list);
  }

  /** As clients see those of an entity. */
  shown({ namespace, parameters, exec }: Parametered): WireKeyValue[] {
    // Those of a sequence only say what it is made of.
    const hidden = this.hidden && !exec?.components;
    const list: readonly ShownKeyValue[] = hidden ? shownSealed(this.ring, namespace, parameters) : parameters;
    return list.map(({ key, valueJson, init, encryption }) => ({ key, valueJson, init, encryption }));
  }
}
