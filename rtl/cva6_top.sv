// CVA6 with its bus, its interrupts and what it commits as plain ports; the names of the bus are Chisel's.
module cva6_top
  import ariane_pkg::*;
(
    input  logic        clock,
    input  logic        rst_n,
    input  logic        time_irq,
    input  logic        ipi,
    // AXI4
    output logic        axi_aw_valid,
    input  logic        axi_aw_ready,
    output logic [ 3:0] axi_aw_bits_id,
    output logic [63:0] axi_aw_bits_addr,
    output logic [ 7:0] axi_aw_bits_len,
    output logic [ 2:0] axi_aw_bits_size,
    output logic [ 1:0] axi_aw_bits_burst,
    output logic        axi_aw_bits_lock,
    output logic [ 5:0] axi_aw_bits_atop,
    output logic        axi_w_valid,
    input  logic        axi_w_ready,
    output logic [63:0] axi_w_bits_data,
    output logic [ 7:0] axi_w_bits_strb,
    output logic        axi_w_bits_last,
    input  logic        axi_b_valid,
    output logic        axi_b_ready,
    input  logic [ 3:0] axi_b_bits_id,
    input  logic [ 1:0] axi_b_bits_resp,
    output logic        axi_ar_valid,
    input  logic        axi_ar_ready,
    output logic [ 3:0] axi_ar_bits_id,
    output logic [63:0] axi_ar_bits_addr,
    output logic [ 7:0] axi_ar_bits_len,
    output logic [ 2:0] axi_ar_bits_size,
    output logic [ 1:0] axi_ar_bits_burst,
    output logic        axi_ar_bits_lock,
    input  logic        axi_r_valid,
    output logic        axi_r_ready,
    input  logic [ 3:0] axi_r_bits_id,
    input  logic [63:0] axi_r_bits_data,
    input  logic [ 1:0] axi_r_bits_resp,
    input  logic        axi_r_bits_last,
    // What leaves the pipeline, the older instruction first.
    output logic        commit_0,
    output logic [63:0] pc_0,
    output logic        commit_1,
    output logic [63:0] pc_1,
    output logic [ 1:0] privilege
);

  localparam ariane_cfg_t Config = '{
      RASDepth: 2,
      BTBEntries: 32,
      BHTEntries: 128,
      // Devices are below memory.
      NrNonIdempotentRules: 1,
      NonIdempotentAddrBase: {64'b0},
      NonIdempotentLength: {64'h8000_0000},
      // Memory and the ROM.
      NrExecuteRegionRules: 2,
      ExecuteRegionAddrBase: {64'h8000_0000, 64'h1_0000},
      ExecuteRegionLength: {64'h4000_0000, 64'h1_0000},
      NrCachedRegionRules: 1,
      CachedRegionAddrBase: {64'h8000_0000},
      CachedRegionLength: {64'h4000_0000},
      AxiCompliant: 1'b1,
      SwapEndianess: 1'b0,
      DmBaseAddress: 64'h0,
      NrPMPEntries: 8
  };

  ariane_axi::req_t  request;
  ariane_axi::resp_t response;

  ariane #(
      .ArianeCfg(Config)
  ) core (
      .clk_i(clock),
      .rst_ni(rst_n),
      .boot_addr_i(64'h1_0000),
      .hart_id_i(64'h0),
      .irq_i(2'b0),
      .ipi_i(ipi),
      .time_irq_i(time_irq),
      .debug_req_i(1'b0),
      .axi_req_o(request),
      .axi_resp_i(response)
  );

  assign axi_aw_valid      = request.aw_valid;
  assign axi_aw_bits_id    = request.aw.id;
  assign axi_aw_bits_addr  = request.aw.addr;
  assign axi_aw_bits_len   = request.aw.len;
  assign axi_aw_bits_size  = request.aw.size;
  assign axi_aw_bits_burst = request.aw.burst;
  assign axi_aw_bits_lock  = request.aw.lock;
  assign axi_aw_bits_atop  = request.aw.atop;
  assign axi_w_valid       = request.w_valid;
  assign axi_w_bits_data   = request.w.data;
  assign axi_w_bits_strb   = request.w.strb;
  assign axi_w_bits_last   = request.w.last;
  assign axi_b_ready       = request.b_ready;
  assign axi_ar_valid      = request.ar_valid;
  assign axi_ar_bits_id    = request.ar.id;
  assign axi_ar_bits_addr  = request.ar.addr;
  assign axi_ar_bits_len   = request.ar.len;
  assign axi_ar_bits_size  = request.ar.size;
  assign axi_ar_bits_burst = request.ar.burst;
  assign axi_ar_bits_lock  = request.ar.lock;
  assign axi_r_ready       = request.r_ready;

  always_comb begin
    response          = '0;
    response.aw_ready = axi_aw_ready;
    response.ar_ready = axi_ar_ready;
    response.w_ready  = axi_w_ready;
    response.b_valid  = axi_b_valid;
    response.b.id     = axi_b_bits_id;
    response.b.resp   = axi_b_bits_resp;
    response.r_valid  = axi_r_valid;
    response.r.id     = axi_r_bits_id;
    response.r.data   = axi_r_bits_data;
    response.r.resp   = axi_r_bits_resp;
    response.r.last   = axi_r_bits_last;
  end

  // An instruction that raises an exception is not acknowledged.
  assign commit_0  = core.i_cva6.commit_ack[0] | core.i_cva6.ex_commit.valid;
  assign pc_0      = core.i_cva6.commit_instr_id_commit[0].pc;
  assign commit_1  = core.i_cva6.commit_ack[1];
  assign pc_1      = core.i_cva6.commit_instr_id_commit[1].pc;
  assign privilege = core.i_cva6.priv_lvl;

endmodule
