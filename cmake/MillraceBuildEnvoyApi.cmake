# cmake -DSOURCE=config/proto -DBUILD=build/proto -P this: brings the Envoy API library up to date. Several builds may ask for
# it at the same time (presets side by side): the lock lets one at a time work.
file(MAKE_DIRECTORY ${BUILD})
file(LOCK ${BUILD} DIRECTORY GUARD PROCESS TIMEOUT 1800)
function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE log ERROR_VARIABLE log)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed:\n${log}")
  endif()
endfunction()
# The compiler of the build that asks does not matter: the library is plain C++17 and always made by the system's compiler.
if(NOT EXISTS ${BUILD}/build.ninja)
  run("Configuring the Envoy API library" ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G Ninja -DCMAKE_CXX_COMPILER=g++)
endif()
run("Building the Envoy API library" ${CMAKE_COMMAND} --build ${BUILD})
