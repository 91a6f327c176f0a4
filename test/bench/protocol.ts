// What the harness and its child processes say to each other. Both sides of a pair are driven by the same client process,
// so that its cost is the same part of both.

/** A load to be put on one address. */
export interface LoadOrder {
  /**
   * closed: a fixed number in flight, for capacity. open: calls leave at scheduled times whether or not earlier ones came
   * back, for latency without coordinated omission.
   */
  readonly loop:
    { readonly kind: "closed"; readonly inFlight: number } | { readonly kind: "open"; readonly perSecond: number };
  readonly how:
    /** One unary rpc per call. */
    | { readonly kind: "unary"; readonly path: string; readonly messageBase64: string }
    /** The same, by a client of bare frames. */
    | { readonly kind: "leanUnary"; readonly path: string; readonly messageBase64: string }
    /** Items of InvokeStream. */
    | {
        readonly kind: "invokeStream";
        readonly namespace: string;
        readonly action: string;
        readonly paramsJson: string;
      }
    /** One POST of JSON per call, over kept connections. */
    | { readonly kind: "post"; readonly path: string; readonly body: string }
    /** The same, by a client of bare sockets. */
    | { readonly kind: "leanPost"; readonly path: string; readonly body: string }
    /** Messages of a bare bidi echo. */
    | { readonly kind: "bidi"; readonly path: string; readonly messageBase64: string };
  readonly address: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Not counted. */
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface LoadReport {
  readonly calls: number;
  readonly failures: number;
  /** First failure, for people. */
  readonly failure: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of the client process per call. */
  readonly clientCpuUs: number;
}

/** Said to the echo server: what its `Invoke` answers from now on. */
export interface EchoAnswer {
  readonly invokeResponseBase64: string;
}

export const INVOKE = "/weft.invoke.v1.InvokeService/Invoke";
export const ECHO_UNARY = "/bench.Echo/Unary";
export const ECHO_BIDI = "/bench.Echo/Bidi";
