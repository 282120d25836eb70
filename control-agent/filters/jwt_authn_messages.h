// The messages of envoy.extensions.filters.http.jwt_authn.v3. Two of their fields are called "requires", which C++ 20 has made a
// keyword and protobuf 3.21 does not know to be one: here the accessors are called requires_(). What that header includes comes
// first, so that nothing else is read under the other name.
#pragma once

#include <google/protobuf/arena.h>
#include <google/protobuf/arenastring.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/extension_set.h>
#include <google/protobuf/generated_message_reflection.h>
#include <google/protobuf/generated_message_util.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/map.h>
#include <google/protobuf/map_entry.h>
#include <google/protobuf/map_field_inl.h>
#include <google/protobuf/message.h>
#include <google/protobuf/metadata_lite.h>
#include <google/protobuf/repeated_field.h>
#include <google/protobuf/unknown_field_set.h>

#include <limits>
#include <string>

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/http_uri.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "udpa/annotations/status.pb.h"
#include "udpa/annotations/versioning.pb.h"
#include "validate/validate.pb.h"

#define requires requires_
#include "envoy/extensions/filters/http/jwt_authn/v3/config.pb.h"
#undef requires
