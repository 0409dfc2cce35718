+define+SYNTHESIS
${ROCKET}/generated-src/freechips.rocketchip.system.LitexFullConfig.v
${ROCKET}/generated-src/freechips.rocketchip.system.LitexFullConfig.behav_srams.v
${ROCKET}/vsrc/plusarg_reader.v
${ROCKET}/vsrc/EICG_wrapper.v
${ROCKET}/vsrc/AsyncResetReg.v
