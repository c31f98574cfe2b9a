using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Paravane.Hypervisor.Legacy;
using Paravane.Hypervisor.Tests.Boot;
using Paravane.VirtioQueues.Linux;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Legacy;

public sealed unsafe partial class ConsoleTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    [Fact]
    public void Output_arrives_in_order_and_all_of_it_when_the_console_closes()
    {
        using var file = new TestFile([.. "old contents, longer than nothing"u8]);
        byte[] bytes = TestKernel.Pattern(100_000, 3);
        using (var console = GuestConsole.IntoFile(file.Path))
        {
            foreach (byte value in bytes)
            {
                console.Output.Write(value);
            }

            Assert.Equal(0, console.DroppedBytes);
        }

        Assert.Equal(bytes, File.ReadAllBytes(file.Path));
    }

    [Fact]
    public void A_console_file_that_cannot_be_made_is_told() =>
        Assert.Contains("/no/such/place", Assert.Throws<LinuxException>(() => GuestConsole.IntoFile("/no/such/place/console")).Message, StringComparison.Ordinal);

    [Fact]
    public void Output_that_nobody_takes_is_dropped_counted_and_told_and_the_writer_never_waits()
    {
        (FileDescriptor reader, FileDescriptor writer) = Pipe();
        using (reader)
        {
            using var output = new ConsoleOutput(writer);
            const int Bytes = ConsoleOutput.BufferBytes + (1 << 20);
            long slowest = 0;
            for (int i = 0; i < Bytes; i++)
            {
                long start = Stopwatch.GetTimestamp();
                output.Write((byte)'x');
                slowest = Math.Max(slowest, Stopwatch.GetTimestamp() - start);
            }

            Assert.True(slowest < Stopwatch.Frequency, "a write waited for the reader");
            long dropped = output.DroppedBytes;
            Assert.InRange(dropped, 1 << 19, 1 << 20);
            string expected = $"{dropped} bytes of console output were dropped\r\n";
            var text = new StringBuilder();
            Assert.True(ReadUntil(reader, text, expected));
            Assert.Equal(Bytes - dropped, text.ToString().Count(letter => letter == 'x'));
        }
    }

    [Fact]
    public void Closing_does_not_wait_for_ever_for_a_reader_that_takes_nothing()
    {
        (FileDescriptor reader, FileDescriptor writer) = Pipe();
        using (reader)
        {
            long start = Stopwatch.GetTimestamp();
            using (var output = new ConsoleOutput(writer))
            {
                for (int i = 0; i < ConsoleOutput.BufferBytes; i++)
                {
                    output.Write(0);
                }
            }

            Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 10);
        }
    }

    [Fact]
    public void A_reader_that_is_gone_harms_nobody()
    {
        (FileDescriptor reader, FileDescriptor writer) = Pipe();
        reader.Dispose();
        using var output = new ConsoleOutput(writer);
        output.Write((byte)'x');
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                Thread.Sleep(5);
                output.Write((byte)'y');
                return output.DroppedBytes > 0;
            },
            s_limit));
    }

    [Fact]
    public void A_terminal_is_raw_while_the_console_reads_and_as_before_afterwards()
    {
        (FileDescriptor master, FileDescriptor slave) = Terminal();
        using (master)
        using (slave)
        {
            byte[] before = Attributes(slave);
            Assert.True(TerminalMode.IsTerminal(slave.Number));
            using (TerminalMode.MakeRaw(slave.Number))
            {
                byte[] raw = Attributes(slave);
                const uint CanonicalEchoSignals = 0x2 | 0x8 | 0x1; // ICANON, ECHO, ISIG
                Assert.Equal(0u, BitConverter.ToUInt32(raw, 12) & CanonicalEchoSignals);
                Assert.Equal(1u, BitConverter.ToUInt32(raw, 4) & 1); // output is still processed
                Assert.NotEqual(before, raw);
            }

            Assert.Equal(before, Attributes(slave));
        }
    }

    [Fact]
    public void What_is_no_terminal_cannot_be_raw()
    {
        using var file = new EventFd();
        Assert.False(TerminalMode.IsTerminal(file.Number));
        Assert.Contains("tcgetattr", Assert.Throws<LinuxException>(() => TerminalMode.MakeRaw(file.Number)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_go_to_the_guest_and_control_a_x_leaves()
    {
        (FileDescriptor master, FileDescriptor slave) = Terminal();
        using (master)
        using (slave)
        {
            using TerminalMode mode = TerminalMode.MakeRaw(slave.Number);
            var port = new Serial16550(new Sink(), new TestInterrupts(), 4);
            port.Out(4, 0x02);
            using var left = new ManualResetEventSlim();
            using var input = new ConsoleInput(slave.Duplicate(), port, left.Set);
            Send(master, "ls\r\x03\x01\x01"u8);
            Assert.True(SpinWait.SpinUntil(() => port.In(5) == 0x61, s_limit));
            var got = new List<byte>();
            Assert.True(SpinWait.SpinUntil(
                () =>
                {
                    if (port.In(5) == 0x61)
                    {
                        got.Add(port.In(0));
                    }

                    return got.Count == 5;
                },
                s_limit));
            Assert.Equal("ls\r\x03\x01"u8, [.. got]);
            Assert.False(left.IsSet);
            Send(master, "\x01x"u8);
            Assert.True(left.Wait(s_limit, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public void From_a_pipe_every_byte_is_the_guests_and_a_full_port_holds_it_back()
    {
        (FileDescriptor reader, FileDescriptor writer) = Pipe();
        byte[] sent = TestKernel.Pattern(Serial16550.InputBytes + 5000, 1);
        var port = new Serial16550(new Sink(), new TestInterrupts(), 4);
        port.Out(4, 0x02);
        using var input = new ConsoleInput(reader, port, () => Assert.Fail("left"));
        var sender = new Thread(() =>
        {
            Send(writer, sent);
            writer.Dispose();
        });
        sender.Start();
        var got = new List<byte>();
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                while ((port.In(5) & 1) != 0)
                {
                    got.Add(port.In(0));
                }

                return got.Count >= sent.Length;
            },
            s_limit));
        Assert.Equal(sent, got);
        Assert.True(sender.Join(s_limit));
    }

    [Fact]
    public void Input_that_waits_reaches_a_guest_that_does_not_ask_for_more_also_when_its_source_has_ended()
    {
        (FileDescriptor reader, FileDescriptor writer) = Pipe();
        byte[] sent = TestKernel.Pattern(20, 1);
        var port = new Serial16550(new Sink(), new TestInterrupts(), 4);
        port.Out(1, 0x01);
        using var input = new ConsoleInput(reader, port, () => Assert.Fail("left"));
        Send(writer, sent);
        writer.Dispose();
        var got = new List<byte>();
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                if ((port.In(5) & 1) != 0)
                {
                    got.Add(port.In(0));
                }

                return got.Count == sent.Length;
            },
            s_limit));
        Assert.Equal(sent, got);
    }

    [Fact]
    public void A_descriptor_that_did_not_come_through_an_exec_is_no_standard_stream()
    {
        const int LowestNumber = 3;
        (FileDescriptor reader, FileDescriptor writer) = Pipe(); // of this process, as the files of the runtime are
        using (reader)
        using (writer)
        {
            Assert.False(StandardStream.IsInherited(reader.Number));
            Assert.False(StandardStream.IsInherited(int.MaxValue)); // not open
            Assert.False(StandardStream.TryWrite(writer.Number, "not for this file\n"u8));
            Send(writer, "not typed"u8);
            Assert.Equal(0, InputOf(reader.Number));

            using var inherited = new FileDescriptor(FileDescriptor.Check(LibC.fcntl(reader.Number, LibC.F_DUPFD, LowestNumber), "fcntl"));
            Assert.True(StandardStream.IsInherited(inherited.Number));
            Assert.Equal((byte)'n', InputOf(inherited.Number));
        }

        static byte InputOf(int number)
        {
            var port = new Serial16550(new Sink(), new TestInterrupts(), 4);
            port.Out(4, 0x02);
            using var console = GuestConsole.On(number, number);
            console.Connect(port, () => Assert.Fail("left"));
            return SpinWait.SpinUntil(() => (port.In(5) & 1) != 0, TimeSpan.FromMilliseconds(StandardStream.IsInherited(number) ? 20_000 : 200)) ? port.In(0) : (byte)0;
        }
    }

    [Theory]
    [InlineData("ab", "ab", false)]
    [InlineData("a\x01\x01" + "b", "a\x01" + "b", false)]
    [InlineData("a\x01qb", "ab", false)]
    [InlineData("a\x01xb", "a", true)]
    [InlineData("\x01X", "", true)]
    public void Escapes_are_found_even_in_pieces(string typed, string expected, bool leaves)
    {
        foreach (int pieceBytes in new[] { 1, 2, 100 })
        {
            var keys = new EscapeKeys();
            var got = new StringBuilder();
            bool left = false;
            foreach (byte[] piece in Encoding.Latin1.GetBytes(typed).Chunk(pieceBytes).TakeWhile(_ => !left))
            {
                int kept = keys.Filter(piece, out left);
                got.Append(Encoding.Latin1.GetString(piece, 0, kept));
            }

            Assert.Equal((expected, leaves), (got.ToString(), left));
        }
    }

    private static (FileDescriptor Reader, FileDescriptor Writer) Pipe()
    {
        int* ends = stackalloc int[2];
        FileDescriptor.Check(LibC.pipe2(ends, LibC.O_CLOEXEC), "pipe2");
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    private static (FileDescriptor Master, FileDescriptor Slave) Terminal()
    {
        int master, slave;
        FileDescriptor.Check(OpenTerminal(&master, &slave, null, null, null), "openpty");
        return (new FileDescriptor(master), new FileDescriptor(slave));
    }

    private static byte[] Attributes(FileDescriptor terminal)
    {
        byte[] attributes = new byte[60];
        byte* room = stackalloc byte[256];
        FileDescriptor.Check(GetAttributes(terminal.Number, room), "tcgetattr");
        new Span<byte>(room, 60).CopyTo(attributes);
        return attributes;
    }

    private static void Send(FileDescriptor target, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            fixed (byte* pointer = bytes)
            {
                long count = LibC.write(target.Number, pointer, bytes.Length);
                Assert.True(count > 0);
                bytes = bytes[(int)count..];
            }
        }
    }

    private static bool ReadUntil(FileDescriptor source, StringBuilder text, string end)
    {
        byte* buffer = stackalloc byte[4096];
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < s_limit)
        {
            var entry = new pollfd { fd = source.Number, events = (short)LibC.POLLIN };
            if (Polling.Wait(&entry, 1, 100) > 0)
            {
                long count = LibC.read(source.Number, buffer, 4096);
                text.Append(Encoding.ASCII.GetString(buffer, (int)count));
                if (text.ToString(Math.Max(0, text.Length - 200), Math.Min(200, text.Length)).EndsWith(end, StringComparison.Ordinal))
                {
                    return true;
                }
            }
        }

        return false;
    }

    [LibraryImport("libc", EntryPoint = "openpty", SetLastError = true)]
    private static partial int OpenTerminal(int* master, int* slave, byte* name, void* attributes, void* size);

    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    private static partial int GetAttributes(int fd, byte* attributes);
}
