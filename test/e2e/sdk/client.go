// A user's program on the generated Go SDK: deploys, invokes, reads back, cleans up. Prints one JSON line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	actionv1 "weft.dev/sdk/weft/action/v1"
	activationv1 "weft.dev/sdk/weft/activation/v1"
	invokev1 "weft.dev/sdk/weft/invoke/v1"
)

func main() {
	address, authorization := os.Args[1], os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)

	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer conn.Close()
	actions := actionv1.NewActionServiceClient(conn)
	code := []byte(`exports.main = ({ name }) => ({ msg: "Hello, " + name });`)

	created, err := actions.CreateAction(ctx, &actionv1.CreateActionRequest{Action: &actionv1.Action{
		Namespace: "_", Name: "sdk-go", Exec: &actionv1.Exec{Kind: "nodejs:default", Code: code},
	}})
	check(err)
	answer, err := invokev1.NewInvokeServiceClient(conn).Invoke(ctx, &invokev1.InvokeRequest{
		Namespace: "_", Action: "sdk-go", ParamsJson: `{"name":"Ada"}`, Blocking: true,
	})
	check(err)

	var recorded json.RawMessage
	for i := 0; i < 100 && recorded == nil; i++ {
		record, err := activationv1.NewActivationServiceClient(conn).GetActivation(ctx, &activationv1.GetActivationRequest{
			Namespace: "_", ActivationId: answer.GetActivationId(),
		})
		if status.Code(err) == codes.NotFound {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		check(err)
		recorded = json.RawMessage(record.GetResultJson())
	}
	_, refused := actions.CreateAction(ctx, &actionv1.CreateActionRequest{Action: &actionv1.Action{Namespace: "_", Name: "sdk-go"}})
	_, err = actions.DeleteAction(ctx, &actionv1.DeleteActionRequest{Namespace: "_", Name: "sdk-go"})
	check(err)

	line, err := json.Marshal(map[string]any{
		"version":  created.GetVersion(),
		"result":   json.RawMessage(answer.GetActivation().GetResultJson()),
		"recorded": recorded,
		"refusal":  status.Code(refused).String(),
	})
	check(err)
	fmt.Println(string(line))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
