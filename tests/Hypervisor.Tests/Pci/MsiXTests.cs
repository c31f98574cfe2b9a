using System.Buffers.Binary;
using System.Diagnostics;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Pci;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Pci;

public sealed class MsiXTests : IDisposable
{
    private const int Vectors = 5;
    private const ushort Enable = MsiX.ControlEnable, FunctionMask = MsiX.ControlFunctionMask;

    private readonly FakeInterrupts _interrupts = new();
    private readonly MsiX _msiX;

    public MsiXTests() => _msiX = new MsiX(Vectors, _interrupts);

    public void Dispose()
    {
        _msiX.Reset();
        _msiX.Close();
        Assert.Equal(0, _interrupts.GsisTaken);
        Assert.Equal(0, _interrupts.AttachedCount);
        Assert.Empty(_interrupts.Violations);
        _interrupts.Dispose();
    }

    [Fact]
    public void Vectors_are_masked_at_first_and_cost_nothing_until_they_are_unmasked()
    {
        for (int i = 0; i < Vectors; i++)
        {
            Assert.Equal(1UL, Read(i, 12, 4));
        }

        _msiX.SetControl(Enable);
        _msiX.SetControl(Enable | FunctionMask);
        _msiX.SetControl(Enable);
        Program(2, Message(7), masked: true);
        Assert.Equal(0, _interrupts.Calls);
        Assert.Equal(0UL, Pending());
        Unmask(2);
        Assert.Equal(1, _interrupts.GsisTaken);
        Assert.Equal(3, _interrupts.Calls); // GSI, route, attachment
        Mask(2);
        Unmask(2);
        Assert.Equal(5, _interrupts.Calls); // no new route where nothing changed
    }

    [Fact]
    public void An_event_of_an_unmasked_vector_raises_its_message()
    {
        _msiX.SetControl(Enable);
        Program(1, Message(7), masked: false);
        Signal(1);
        Assert.Equal(1, _interrupts.Raised(Message(7)));
        Assert.Equal(0UL, Pending());
    }

    [Fact]
    public void A_masked_vector_keeps_its_event_pending_and_raises_it_once_when_unmasked()
    {
        _msiX.SetControl(Enable);
        Program(1, Message(7), masked: false);
        Mask(1);
        Signal(1);
        Signal(1);
        Assert.Equal(0, _interrupts.Raised(Message(7)));
        Assert.Equal(0b10UL, Pending());
        Unmask(1);
        Assert.Equal(1, _interrupts.Raised(Message(7)));
        Assert.Equal(0UL, Pending());
        Mask(1);
        Assert.Equal(0UL, Pending());
        Unmask(1);
        Assert.Equal(1, _interrupts.Raised(Message(7)));
    }

    [Fact]
    public void An_event_before_MSI_X_is_enabled_is_not_lost()
    {
        Program(3, Message(9), masked: false);
        Signal(3);
        Assert.Equal(0b1000UL, Pending());
        _msiX.SetControl(Enable);
        Assert.Equal(1, _interrupts.Raised(Message(9)));
    }

    [Fact]
    public void The_function_mask_masks_all_and_leaves_the_bits_of_the_vectors()
    {
        _msiX.SetControl(Enable);
        Program(0, Message(1), masked: false);
        Program(4, Message(2), masked: false);
        _msiX.SetControl(Enable | FunctionMask);
        Signal(0);
        Signal(4);
        Assert.Equal(0b10001UL, Pending());
        Assert.Equal(0UL, Read(0, 12, 4));
        _msiX.SetControl(Enable);
        Assert.Equal(1, _interrupts.Raised(Message(1)));
        Assert.Equal(1, _interrupts.Raised(Message(2)));
    }

    [Fact]
    public void A_vector_that_is_programmed_anew_while_masked_raises_the_new_message_only()
    {
        _msiX.SetControl(Enable);
        Program(1, Message(7), masked: false);
        Mask(1);
        Signal(1);
        Program(1, Message(8), masked: true);
        Unmask(1);
        Assert.Equal(0, _interrupts.Raised(Message(7)));
        Assert.Equal(1, _interrupts.Raised(Message(8)));
    }

    [Fact]
    public void A_message_that_changes_while_unmasked_counts_from_the_next_event_on()
    {
        _msiX.SetControl(Enable);
        Program(1, Message(7), masked: false);
        Signal(1);
        Assert.Equal(1, _interrupts.Raised(Message(7)));
        Write(1, 8, Message(8).Data, 4);
        Signal(1);
        Assert.Equal(1, _interrupts.Raised(Message(7) with { Data = Message(8).Data }));
    }

    [Fact]
    public void Entries_take_double_and_quad_words()
    {
        Write(1, 0, 0x1122_3344_FEE0_1003, 8);
        Write(1, 8, 0xFFFF_FFFE_0000_4321, 8);
        Assert.Equal(0x1122_3344_FEE0_1000UL, Read(1, 0, 8));
        Assert.Equal(0x0000_0000_0000_4321UL, Read(1, 8, 8));
        Write(1, 4, 0x55, 4);
        Write(1, 12, 1, 4);
        Assert.Equal(0x0000_0055_FEE0_1000UL, Read(1, 0, 8));
        Assert.Equal(0x0000_0001_0000_4321UL, Read(1, 8, 8));
    }

    [Fact]
    public void Disabling_gives_everything_back()
    {
        _msiX.SetControl(Enable);
        Program(0, Message(1), masked: false);
        Program(1, Message(2), masked: false);
        _msiX.SetControl(0);
        Assert.Equal(0, _interrupts.GsisTaken);
        Assert.Equal(0, _interrupts.AttachedCount);
    }

    [Fact]
    public void Limits_of_the_host_leave_an_event_pending_and_the_next_unmasking_tries_again()
    {
        _interrupts.Limit = 1;
        _msiX.SetControl(Enable);
        Program(0, Message(1), masked: false);
        Program(1, Message(2), masked: false);
        Signal(1);
        Assert.Equal(1, _msiX.Refusals);
        Assert.Equal(0b10UL, Pending());
        _interrupts.Limit = 2;
        _interrupts.FailAttach = true;
        Mask(1);
        Unmask(1);
        Assert.Equal(2, _msiX.Refusals);
        Assert.Equal(0b10UL, Pending());
        _interrupts.FailAttach = false;
        Unmask(1);
        Assert.Equal(1, _interrupts.Raised(Message(2)));
    }

    [Fact]
    public void Pending_bits_reach_over_many_vectors()
    {
        var wide = new MsiX(200, _interrupts);
        foreach (int vector in new[] { 0, 63, 64, 130, 199 })
        {
            Assert.True(wide.TryGetSource(vector, out EventFd? source));
            source.Signal();
        }

        Span<byte> bits = stackalloc byte[8];
        var seen = new List<int>();
        for (int offset = 0; offset < 40; offset += 8)
        {
            wide.ReadPending((ulong)offset, bits);
            ulong word = BinaryPrimitives.ReadUInt64LittleEndian(bits);
            seen.AddRange(Enumerable.Range(0, 64).Where(bit => ((word >> bit) & 1) != 0).Select(bit => (offset * 8) + bit));
        }

        Assert.Equal([0, 63, 64, 130, 199], seen);
        wide.ReadPending(24, bits[..1]);
        Assert.Equal(0x80, bits[0] & 0x80);
        wide.Reset();
        wide.Close();
    }

    [Fact]
    public void No_event_is_lost_while_a_vector_is_masked_unmasked_and_moved()
    {
        _interrupts.Run();
        _msiX.SetControl(Enable);
        Program(1, Message(1), masked: false);
        Assert.True(_msiX.TryGetSource(1, out EventFd? source));
        int signals = 0;
        string? failure = null;
        bool stop = false;
        var signaller = new Thread(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                int before = _interrupts.RaisedInAll();
                source.Signal();
                signals++;
                long start = Stopwatch.GetTimestamp();
                while (_interrupts.RaisedInAll() == before)
                {
                    if (Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(10))
                    {
                        failure = $"event {signals} is lost";
                        return;
                    }

                    Thread.Yield();
                }
            }
        });
        signaller.Start();
        var random = new Random(20);
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < TimeSpan.FromMilliseconds(500))
        {
            switch (random.Next(4))
            {
                case 0:
                    Mask(1);
                    break;
                case 1:
                    _msiX.SetControl(Enable | FunctionMask);
                    break;
                case 2:
                    _msiX.SetControl(0);
                    break;
                default:
                    Mask(1);
                    Program(1, Message((uint)random.Next(1, 9)), masked: true);
                    break;
            }

            Thread.SpinWait(random.Next(2000));
            Unmask(1);
            _msiX.SetControl(Enable);
            Thread.SpinWait(random.Next(2000));
        }

        Volatile.Write(ref stop, true);
        Assert.True(signaller.Join(TimeSpan.FromSeconds(20)));
        Assert.Null(failure);
        Assert.Equal(signals, _interrupts.RaisedInAll());
        Assert.True(signals > 50);
    }

    [Fact]
    public void H5_any_access_to_the_table_keeps_to_the_model()
    {
        var random = new Random(5);
        var entries = new (uint Low, uint High, uint Data, bool Masked)[Vectors];
        Array.Fill(entries, (0u, 0u, 0u, true));
        bool[] attached = new bool[Vectors], pending = new bool[Vectors];
        var raised = new Dictionary<MsiMessage, int>();
        bool enabled = false, functionMask = false;
        byte[] data = new byte[8];
        for (int step = 0; step < 20_000; step++)
        {
            int vector = random.Next(Vectors);
            switch (random.Next(6))
            {
                case 0:
                    ushort control = (ushort)(random.Next(4) << 14);
                    _msiX.SetControl(control);
                    (enabled, functionMask) = ((control & Enable) != 0, (control & FunctionMask) != 0);
                    break;
                case 1:
                    Signal(vector);
                    if (attached[vector])
                    {
                        Count(vector);
                    }
                    else
                    {
                        pending[vector] = true;
                    }

                    break;
                case 2: // anything, anywhere
                    ulong offset = (ulong)random.Next((Vectors + 2) * 16);
                    int lengthBytes = random.Next(1, 9);
                    random.NextBytes(data);
                    data.AsSpan().Clear();
                    data[0] = (byte)random.Next(4);
                    data[4] = (byte)random.Next(2);
                    _msiX.WriteTable(offset, data.AsSpan(0, lengthBytes));
                    if (lengthBytes is 4 or 8 && offset % (uint)lengthBytes == 0 && offset < Vectors * 16)
                    {
                        for (int at = 0; at < lengthBytes; at += 4)
                        {
                            Set((int)offset / 16, ((int)offset % 16) + at, BinaryPrimitives.ReadUInt32LittleEndian(data.AsSpan(at)));
                        }
                    }

                    break;
                case 3:
                    bool masked = random.Next(2) == 0;
                    Write(vector, 12, masked ? 1u : 0, 4);
                    Set(vector, 12, masked ? 1u : 0);
                    break;
                case 4:
                    _msiX.ReadTable((ulong)random.Next(200), data.AsSpan(0, random.Next(1, 9)));
                    _msiX.ReadPending((ulong)random.Next(20), data.AsSpan(0, random.Next(1, 9)));
                    break;
                default:
                    Assert.Equal(entries[vector].Low | ((ulong)entries[vector].High << 32), Read(vector, 0, 8));
                    Assert.Equal(entries[vector].Data | (entries[vector].Masked ? 1UL << 32 : 0), Read(vector, 8, 8));
                    break;
            }

            for (int i = 0; i < Vectors; i++)
            {
                attached[i] = enabled && !functionMask && !entries[i].Masked;
                if (attached[i] && pending[i])
                {
                    pending[i] = false;
                    Count(i);
                }

                Assert.Equal(attached[i], _msiX.IsAttached(i));
            }

            _interrupts.Deliver();
            Assert.Equal(Enumerable.Range(0, Vectors).Sum(i => pending[i] ? 1L << i : 0), (long)Pending());
        }

        foreach ((MsiMessage message, int count) in raised)
        {
            Assert.Equal(count, _interrupts.Raised(message));
        }

        Assert.Equal(raised.Values.Sum(), _interrupts.RaisedInAll());

        void Set(int vector, int field, uint value)
        {
            ref (uint Low, uint High, uint Data, bool Masked) entry = ref entries[vector];
            switch (field)
            {
                case 0:
                    entry.Low = value & ~3u;
                    break;
                case 4:
                    entry.High = value;
                    break;
                case 8:
                    entry.Data = value;
                    break;
                default:
                    entry.Masked = (value & 1) != 0;
                    break;
            }
        }

        void Count(int vector)
        {
            var message = new MsiMessage(entries[vector].Low, entries[vector].High, entries[vector].Data);
            raised[message] = raised.GetValueOrDefault(message) + 1;
        }
    }

    private static MsiMessage Message(uint number) => new(0xFEE0_0000 | (number << 12), 0, 0x4000 + number);

    private void Program(int vector, MsiMessage message, bool masked)
    {
        Write(vector, 0, message.AddressLow, 4);
        Write(vector, 4, message.AddressHigh, 4);
        Write(vector, 8, message.Data, 4);
        Write(vector, 12, masked ? 1u : 0, 4);
    }

    private void Mask(int vector) => Write(vector, 12, 1, 4);

    private void Unmask(int vector) => Write(vector, 12, 0, 4);

    private void Signal(int vector)
    {
        Assert.True(_msiX.TryGetSource(vector, out EventFd? source));
        source.Signal();
        _interrupts.Deliver();
    }

    private ulong Pending()
    {
        Span<byte> bits = stackalloc byte[8];
        _msiX.ReadPending(0, bits);
        return BinaryPrimitives.ReadUInt64LittleEndian(bits);
    }

    private ulong Read(int vector, int field, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        data.Clear();
        _msiX.ReadTable((ulong)((vector * 16) + field), data[..lengthBytes]);
        return BinaryPrimitives.ReadUInt64LittleEndian(data);
    }

    private void Write(int vector, int field, ulong value, int lengthBytes)
    {
        Span<byte> data = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        _msiX.WriteTable((ulong)((vector * 16) + field), data[..lengthBytes]);
    }
}
