using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Tests.Boot;

namespace Paravane.Hypervisor.Tests.Legacy;

public sealed class Serial16550Tests
{
    private const int Gsi = 4;
    private const ulong Data = 0, Ier = 1, Iir = 2, Fcr = 2, Lcr = 3, Mcr = 4, Lsr = 5, Msr = 6, Scr = 7;

    private readonly Sink _sink = new();
    private readonly TestInterrupts _interrupts = new();
    private readonly Serial16550 _port;

    public Serial16550Tests() => _port = new Serial16550(_sink, _interrupts, Gsi);

    [Fact]
    public void What_is_written_comes_out_and_the_transmitter_is_always_empty()
    {
        foreach (byte value in "hello"u8)
        {
            Assert.Equal(0x60, _port.In(Lsr));
            _port.Out(Data, value);
        }

        Assert.Equal("hello", _sink.Text);
        Assert.Equal(0, _interrupts.Edges(Gsi));
    }

    [Fact]
    public void The_divisor_latch_hides_data_and_interrupt_registers()
    {
        _port.Out(Ier, 0x05);
        _port.Out(Lcr, 0x83);
        _port.Out(Data, 0x12);
        _port.Out(Ier, 0x34);
        Assert.Equal((0x12, 0x34), (_port.In(Data), _port.In(Ier)));
        _port.Out(Lcr, 0x03);
        Assert.Equal((0x00, 0x05), (_port.In(Data), _port.In(Ier)));
        Assert.Equal(0x03, _port.In(Lcr));
        Assert.Empty(_sink.Text);
    }

    [Fact]
    public void Registers_keep_what_they_have_bits_for()
    {
        _port.Out(Scr, 0xA5);
        _port.Out(Ier, 0xFF);
        _port.Out(Mcr, 0xFF & ~0x10);
        Assert.Equal((0xA5, 0x0F, 0x0F), (_port.In(Scr), _port.In(Ier), _port.In(Mcr)));
        _port.Out(Lsr, 0);
        _port.Out(Msr, 0);
        Assert.Equal(0x60, _port.In(Lsr));
        Assert.Equal(0xB0, _port.In(Msr));
    }

    [Fact]
    public void Fifos_show_in_the_interrupt_id_when_on()
    {
        Assert.Equal(0x01, _port.In(Iir));
        _port.Out(Fcr, 0x01);
        Assert.Equal(0xC1, _port.In(Iir));
        _port.Out(Fcr, 0x00);
        Assert.Equal(0x01, _port.In(Iir));
    }

    [Fact]
    public void An_empty_transmitter_interrupts_when_allowed_and_again_after_each_write()
    {
        _port.Out(Ier, 0x02);
        Assert.True(_interrupts.Level(Gsi));
        Assert.Equal(0x02, _port.In(Iir)); // reading clears
        Assert.False(_interrupts.Level(Gsi));
        Assert.Equal(0x01, _port.In(Iir));
        _port.Out(Ier, 0x02); // allowed already: nothing new
        Assert.False(_interrupts.Level(Gsi));
        _port.Out(Data, (byte)'x');
        Assert.True(_interrupts.Level(Gsi));
        _port.Out(Ier, 0x00);
        Assert.False(_interrupts.Level(Gsi));
        Assert.Equal(2, _interrupts.Edges(Gsi));
    }

    [Fact]
    public void Input_interrupts_until_it_is_read()
    {
        _port.Out(Fcr, 0x81); // FIFO of 16, trigger at 8
        _port.Out(Ier, 0x01);
        Assert.Equal(8, _port.Receive("12345678"u8));
        Assert.True(_interrupts.Level(Gsi));
        Assert.Equal(0xC4, _port.In(Iir));
        Assert.Equal(0x61, _port.In(Lsr));
        Assert.Equal((byte)'1', _port.In(Data));
        Assert.Equal(0xCC, _port.In(Iir)); // fewer than the trigger: the character timeout
        for (char expected = '2'; expected <= '8'; expected++)
        {
            Assert.True(_interrupts.Level(Gsi));
            Assert.Equal((byte)expected, _port.In(Data));
        }

        Assert.False(_interrupts.Level(Gsi));
        Assert.Equal((0xC1, 0x60), (_port.In(Iir), _port.In(Lsr)));
        Assert.Equal(0, _port.In(Data));
        Assert.Equal(1, _interrupts.Edges(Gsi));
    }

    [Fact]
    public void Input_has_priority_over_an_empty_transmitter()
    {
        _port.Out(Ier, 0x03);
        _ = _port.Receive("a"u8);
        Assert.Equal(0x04, _port.In(Iir));
        _ = _port.In(Data);
        Assert.True(_interrupts.Level(Gsi));
        Assert.Equal(0x02, _port.In(Iir));
        Assert.False(_interrupts.Level(Gsi));
    }

    [Fact]
    public void What_was_typed_before_the_guest_opened_the_port_is_not_swept_away()
    {
        Assert.Equal(5, _port.Receive("early"u8));

        // As Linux begins: look, clear everything, read what there is, switch on, go.
        Assert.Equal(0x60, _port.In(Lsr));
        foreach (byte value in new byte[] { 1, 7, 0 })
        {
            _port.Out(Fcr, value);
        }

        Assert.Equal((0, 0x01), (_port.In(Data), _port.In(Iir)));
        _port.Out(Ier, 0x05);
        _port.Out(Fcr, 0x01);
        _port.Out(Fcr, 0x81);
        _port.Out(Mcr, 0x0B);
        Assert.Equal("early"u8, ReadAll());

        // What it was told of, it can clear.
        _ = _port.Receive("gone"u8);
        Assert.Equal(0x61, _port.In(Lsr));
        _ = _port.Receive("kept"u8);
        _port.Out(Fcr, 0x83);
        Assert.Equal(0xC1, _port.In(Iir));
        Assert.Equal("kept"u8, ReadAll());
    }

    [Fact]
    public void A_polling_guest_gets_input_once_it_is_ready_to_receive()
    {
        _ = _port.Receive("z"u8);
        Assert.Equal(0x60, _port.In(Lsr));
        _port.Out(Mcr, 0x02);
        Assert.Equal(0x61, _port.In(Lsr));
        Assert.Equal((byte)'z', _port.In(Data));
    }

    [Theory]
    [InlineData(0x00, 1)]
    [InlineData(0x81, 16)]
    public void The_fifo_is_filled_again_when_the_guest_has_emptied_it_and_seen_the_line_down(byte fifoControl, int depth)
    {
        _port.Out(Fcr, fifoControl);
        _port.Out(Ier, 0x01);
        byte[] sent = TestKernel.Pattern(3 * depth, 1);
        Assert.Equal(sent.Length, _port.Receive(sent));
        for (int batch = 0; batch < 3; batch++)
        {
            Assert.Equal(batch + 1, _interrupts.Edges(Gsi));
            Assert.Equal(batch < 2, _port.IsBehind);
            Assert.Equal(sent[(batch * depth)..((batch + 1) * depth)], ReadAll());
            Assert.False(_interrupts.Level(Gsi));
            Assert.Equal(0x01, _port.In(Iir) & 0x0F);
        }
    }

    [Fact]
    public void A_guest_that_does_not_look_for_more_gets_it_all_the_same()
    {
        _port.Out(Ier, 0x01);
        _ = _port.Receive("abc"u8);
        foreach (byte expected in "abc"u8)
        {
            Assert.True(_interrupts.Level(Gsi));
            Assert.Equal(expected, _port.In(Data));
            _ = _port.Receive([]);
        }

        Assert.Equal(3, _interrupts.Edges(Gsi));
        Assert.False(_port.IsBehind);
    }

    [Fact]
    public void A_guest_that_polls_empties_the_whole_queue()
    {
        _port.Out(Mcr, 0x02);
        byte[] sent = TestKernel.Pattern(1000, 1);
        _ = _port.Receive(sent);
        Assert.Equal(sent, ReadAll());
    }

    [Fact]
    public void Input_that_comes_faster_than_a_handler_takes_it_does_not_silence_the_interrupt()
    {
        _port.Out(Fcr, 0x81);
        _port.Out(Mcr, 0x0B);
        _port.Out(Ier, 0x05);
        byte[] sent = TestKernel.Pattern(1 << 20, 1);
        var got = new List<byte>(sent.Length);
        int given = 0, edges = 0;
        Give();
        while (got.Count < sent.Length)
        {
            Assert.True(edges < _interrupts.Edges(Gsi), $"no edge after {got.Count} bytes");
            edges = _interrupts.Edges(Gsi);
            Handle();
            Give();
        }

        Assert.Equal(sent, got);

        void Give() => given += _port.Receive(sent.AsSpan(given, Math.Min(1024, sent.Length - given)));

        // As serial8250_interrupt of Linux: rounds until nothing is pending, but at most 512, of at most 256 bytes.
        void Handle()
        {
            for (int round = 0; round < 512 && (_port.In(Iir) & 1) == 0; round++)
            {
                for (int i = 0; i < 256 && (_port.In(Lsr) & 1) != 0; i++)
                {
                    got.Add(_port.In(Data));
                    Give();
                }

                _ = _port.In(Msr);
            }
        }
    }

    [Fact]
    public void A_full_port_takes_no_more()
    {
        byte[] much = new byte[Serial16550.InputBytes + 10];
        Assert.Equal(Serial16550.InputBytes, _port.Receive(much));
        Assert.Equal(0, _port.Receive(much));
        _port.Out(Mcr, 0x02);
        _ = _port.In(Data);
        Assert.Equal(1, _port.Receive(much));
    }

    [Fact]
    public void Loopback_cuts_the_line_and_joins_outputs_to_inputs()
    {
        _port.Out(Mcr, 0x1A); // as Linux probes: OUT2 and RTS
        Assert.Equal(0x90, _port.In(Msr) & 0xF0);
        _port.Out(Mcr, 0x15); // DTR and OUT1
        Assert.Equal(0x60, _port.In(Msr) & 0xF0);

        _port.Out(Fcr, 0x01);
        _ = _port.Receive("outside"u8);
        _port.Out(Data, 0x55);
        Assert.Empty(_sink.Text);
        Assert.Equal(0x61, _port.In(Lsr));
        Assert.Equal(0x55, _port.In(Data));
        Assert.Equal(0x60, _port.In(Lsr));
        for (int i = 0; i < 17; i++)
        {
            _port.Out(Data, (byte)i);
        }

        _port.Out(Ier, 0x04);
        Assert.Equal(0xC6, _port.In(Iir));
        Assert.Equal(0x63, _port.In(Lsr)); // one too many, told once
        Assert.Equal(0x61, _port.In(Lsr));
        Assert.False(_interrupts.Level(Gsi));
    }

    [Fact]
    public void A_modem_line_that_moved_is_told_once_and_interrupts()
    {
        _port.Out(Mcr, 0x10);
        _ = _port.In(Msr);
        _port.Out(Ier, 0x08);
        Assert.False(_interrupts.Level(Gsi));
        _port.Out(Mcr, 0x12); // RTS, which is CTS
        Assert.True(_interrupts.Level(Gsi));
        Assert.Equal(0x00, _port.In(Iir));
        Assert.Equal(0x11, _port.In(Msr));
        Assert.Equal(0x10, _port.In(Msr));
        Assert.False(_interrupts.Level(Gsi));
        _port.Out(Mcr, 0x16);
        Assert.Equal(0x50, _port.In(Msr)); // ring came: no change
        _port.Out(Mcr, 0x12);
        Assert.Equal(0x14, _port.In(Msr)); // ring went
    }

    [Fact]
    public void An_access_of_several_bytes_is_as_many_of_one()
    {
        _port.Write(Data, [(byte)'A', 0x02]);
        Assert.Equal("A", _sink.Text);
        Assert.Equal(0x02, _port.In(Ier));
        Assert.Equal(0x00B06000u, _port.In32(Mcr)); // modem control, line status, modem status, scratch
    }

    [Fact]
    public void After_a_restart_registers_are_back_and_input_waits()
    {
        _port.Out(Ier, 0x0F);
        _port.Out(Lcr, 0x83);
        _ = _port.Receive("x"u8);
        Assert.True(_interrupts.Level(Gsi));
        _port.Reset();
        Assert.False(_interrupts.Level(Gsi));
        Assert.Equal((0x00, 0x00, 0x01), (_port.In(Ier), _port.In(Lcr), _port.In(Iir)));
        _port.Out(Ier, 0x01);
        Assert.Equal((byte)'x', _port.In(Data));
    }

    [Fact]
    public void H5_any_access_to_the_serial_port_is_legal() => BusAccess.Fuzz(_port, Serial16550.PortCount, () => _port.Receive("input"u8));

    [Fact]
    public void An_exit_to_the_port_allocates_nothing()
    {
        var port = new Serial16550(new Nowhere(), _interrupts, 5);
        port.Out(Data, 1);
        _ = port.In(Lsr);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            port.Out(Data, 1);
            _ = port.In(Lsr);
            port.Out(Ier, (byte)(i & 2));
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private byte[] ReadAll()
    {
        var bytes = new List<byte>();
        while ((_port.In(Lsr) & 1) != 0)
        {
            bytes.Add(_port.In(Data));
        }

        return [.. bytes];
    }

    private sealed class Nowhere : IConsoleOutput
    {
        public void Write(byte value)
        {
        }
    }
}
