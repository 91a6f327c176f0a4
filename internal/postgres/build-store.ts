import type { BuildStore } from "../core/action/build.js";
import type { Build } from "../core/action/types.js";
import { storeCode } from "./code-table.js";
import type { Database } from "./database.js";

export class PostgresBuildStore implements BuildStore {
  constructor(private readonly database: Database) {}

  async find(digest: string): Promise<Build | undefined> {
    const [row] = await this.database.rows<{ readonly build: string }>(
      "update builds set used_at = now() where digest = $1 returning build",
      [digest],
    );
    return row && (JSON.parse(row.build) as Build);
  }

  async keep(build: Build, artifact: Uint8Array | undefined): Promise<void> {
    await this.database.transaction(async (transaction) => {
      if (build.artifact && artifact) await storeCode(transaction, build.artifact.digest, artifact);
      await transaction.rows(
        `insert into builds (digest, artifact_digest, build) values ($1, $2, $3)
         on conflict (digest) do update set used_at = now()`,
        [build.digest, build.artifact?.digest, JSON.stringify(build)],
      );
    });
  }
}
