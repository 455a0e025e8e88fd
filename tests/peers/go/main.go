// A function in Go without AWS's library: the loop over the Runtime API, with nothing but the standard library.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

type event struct {
	Name string `json:"name"`
}

type answer struct {
	Greeting string `json:"greeting"`
	Handler  string `json:"handler"`
}

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	for {
		next, err := http.Get(api + "invocation/next")
		if err != nil {
			panic(err)
		}
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var told event
		err = json.NewDecoder(next.Body).Decode(&told)
		next.Body.Close()
		path, body := "/response", []byte{}
		if err == nil {
			fmt.Println("greeting", told.Name)
			body, err = json.Marshal(answer{"Hello " + told.Name, os.Getenv("_HANDLER")})
		}
		if err != nil {
			path = "/error"
			body, _ = json.Marshal(map[string]string{"errorType": "Bad.Event", "errorMessage": err.Error()})
		}
		posted, err := http.Post(api+"invocation/"+id+path, "application/json", bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		posted.Body.Close()
	}
}
