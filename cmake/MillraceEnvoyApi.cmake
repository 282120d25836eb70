# millrace_envoy_api: the generated classes of Envoy's API and of millrace.v1.Dataplane. Compiled once for all presets in
# MILLRACE_PROTO_BUILD_DIR, by a project of its own (config/proto), at configure time when it is not there yet.
set(MILLRACE_PROTO_BUILD_DIR "${CMAKE_SOURCE_DIR}/build/proto" CACHE PATH "Where the Envoy API library is built")
set(envoy_api_archive ${MILLRACE_PROTO_BUILD_DIR}/libmillrace_envoy_api.a)
set(build_envoy_api ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR}/config/proto -DBUILD=${MILLRACE_PROTO_BUILD_DIR}
  -P ${CMAKE_CURRENT_LIST_DIR}/MillraceBuildEnvoyApi.cmake)

if(NOT EXISTS ${envoy_api_archive})
  message(STATUS "Building the Envoy API library, once: some minutes")
  execute_process(COMMAND ${build_envoy_api} COMMAND_ERROR_IS_FATAL ANY)
endif()

# Later changes of our own message, or of the lists, rebuild what they touch.
file(GLOB_RECURSE envoy_api_inputs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/config/proto/*.proto)
file(GLOB_RECURSE envoy_api_headers ${MILLRACE_PROTO_BUILD_DIR}/include/*.pb.h)
add_custom_command(OUTPUT ${envoy_api_archive} COMMAND ${build_envoy_api} BYPRODUCTS ${envoy_api_headers}
  DEPENDS ${envoy_api_inputs} ${CMAKE_SOURCE_DIR}/config/proto/CMakeLists.txt
    ${CMAKE_SOURCE_DIR}/config/proto/envoy_api_roots.txt ${CMAKE_SOURCE_DIR}/config/proto/package-lock.json
  COMMENT "Bringing the Envoy API library up to date" VERBATIM)
add_custom_target(millrace_envoy_api_build DEPENDS ${envoy_api_archive})

add_library(millrace_envoy_api_archive STATIC IMPORTED GLOBAL)
set_target_properties(millrace_envoy_api_archive PROPERTIES IMPORTED_LOCATION ${envoy_api_archive})
add_dependencies(millrace_envoy_api_archive millrace_envoy_api_build)

# Every message registers itself at start-up; the linker must not leave out those that only reflection names (Any).
add_library(millrace_envoy_api INTERFACE)
add_dependencies(millrace_envoy_api millrace_envoy_api_build)
target_include_directories(millrace_envoy_api SYSTEM INTERFACE ${MILLRACE_PROTO_BUILD_DIR}/include)
if(MILLRACE_SANITIZE MATCHES thread)
  # protobuf's headers give map fields another layout under ThreadSanitizer; this library is built without it.
  target_compile_options(millrace_envoy_api INTERFACE -U__SANITIZE_THREAD__)
endif()
target_link_libraries(millrace_envoy_api INTERFACE $<LINK_LIBRARY:WHOLE_ARCHIVE,millrace_envoy_api_archive>
  gRPC::grpc++ protobuf::libprotobuf)
