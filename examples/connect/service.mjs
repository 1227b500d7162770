// The service, as `buf generate` would write it for:
//
//   service Greeter {
//     rpc Greet(google.protobuf.StringValue) returns (google.protobuf.StringValue);
//     rpc Count(google.protobuf.StringValue) returns (stream google.protobuf.StringValue);
//   }

import { create, createFileRegistry } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";

const TEXT = ".google.protobuf.StringValue";
const file = create(FileDescriptorProtoSchema, {
  name: "greeter.proto",
  package: "example",
  syntax: "proto3",
  dependency: [file_google_protobuf_wrappers.proto.name],
  service: [
    {
      name: "Greeter",
      method: [
        { name: "Greet", inputType: TEXT, outputType: TEXT },
        { name: "Count", inputType: TEXT, outputType: TEXT, serverStreaming: true },
      ],
    },
  ],
});

export const Greeter = createFileRegistry(file, () => file_google_protobuf_wrappers).getService(
  "example.Greeter",
);
