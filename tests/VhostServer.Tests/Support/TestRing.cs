using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>One ring of a <see cref="Machine"/> with its driver, set up over the socket. Same body for both formats.</summary>
internal abstract class TestRing : IDisposable
{
    public const int BufferBytes = 256;
    private readonly GuestAddress _buffers;
    private ushort _sequence;

    protected TestRing(Machine machine, int index, int size)
    {
        Machine = machine;
        Index = index;
        Config = DriverRingConfig.Lay(machine.Memory, new GuestAddress(Machine.GuestBase + ((ulong)index << 19)), size, machine.Features & ~VirtioFeatures.ProtocolFeatures);
        _buffers = new GuestAddress(Machine.GuestBase + ((ulong)index << 19) + (1 << 18));
    }

    public Machine Machine { get; }

    public int Index { get; }

    public DriverRingConfig Config { get; }

    public EventFd Kick { get; private set; } = new();

    public EventFd Call { get; private set; } = new();

    public EventFd Error { get; } = new();

    public abstract DriverFault Fault { get; }

    public static TestRing Of(Machine machine, int index = 0, int size = 64) => (machine.Features & VirtioFeatures.RingPacked) != 0
        ? new TestRing<PackedDriver>(machine, index, size)
        : new TestRing<SplitDriver>(machine, index, size);

    public VringAddress Address(VringAddressFlags flags = VringAddressFlags.None, ulong log = 0) => new(
        (uint)Index, flags, Machine.ToUser(Config.DescriptorArea), Machine.ToUser(Config.DeviceArea), Machine.ToUser(Config.DriverArea), log);

    /// <summary>NUM, BASE, ADDR, ERR, CALL, KICK and ENABLE, each acknowledged.</summary>
    public TestRing Start(uint? position = null, bool enable = true, VringAddressFlags flags = VringAddressFlags.None, ulong log = 0, Frontend? through = null)
    {
        Frontend frontend = through ?? Machine.Frontend;
        Assert.True(frontend.Try(FrontendRequest.SetVringNum, new VringState((uint)Index, (uint)Config.Size)));
        Assert.True(frontend.Try(FrontendRequest.SetVringBase, new VringState((uint)Index, position ?? QueueState.Fresh(Config.Format).Raw)));
        Assert.True(frontend.Try(FrontendRequest.SetVringAddr, Address(flags, log)));
        Assert.True(frontend.Try(FrontendRequest.SetVringErr, new VringDescriptor((byte)Index, true), Error));
        Assert.True(frontend.Try(FrontendRequest.SetVringCall, new VringDescriptor((byte)Index, true), Call));
        Assert.True(frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor((byte)Index, true), Kick));
        Enable(enable, frontend);
        return this;
    }

    public void Enable(bool enable, Frontend? through = null) =>
        Assert.True((through ?? Machine.Frontend).Try(FrontendRequest.SetVringEnable, new VringState((uint)Index, enable ? 1u : 0)));

    /// <summary>GET_VRING_BASE.</summary>
    public uint Stop(Frontend? through = null)
    {
        VringState state = (through ?? Machine.Frontend).Ask(FrontendRequest.GetVringBase, Frontend.Bytes(new VringState((uint)Index, 0))).As<VringState>();
        Assert.Equal((uint)Index, state.Index);
        return state.Num;
    }

    /// <summary>A kick that only the next back-end will hear.</summary>
    public void RenewKick()
    {
        Kick.Dispose();
        Kick = new EventFd();
    }

    public void ReplaceKick()
    {
        var next = new EventFd();
        Assert.True(Machine.Frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor((byte)Index, true), next));
        Kick.Dispose();
        Kick = next;
    }

    public void ReplaceCall()
    {
        var next = new EventFd();
        Assert.True(Machine.Frontend.Try(FrontendRequest.SetVringCall, new VringDescriptor((byte)Index, true), next));
        Call.Dispose();
        Call = next;
    }

    /// <summary>Guest addresses of the readable and writable buffer of a slot.</summary>
    public (GuestAddress Readable, GuestAddress Writable) Buffers(ushort slot)
    {
        ulong at = _buffers.Value + ((ulong)slot * 2 * BufferBytes);
        return (new GuestAddress(at), new GuestAddress(at + BufferBytes));
    }

    /// <summary>Offers one request; returns its slot.</summary>
    public ushort Offer(bool kick = true)
    {
        ushort slot = (ushort)(_sequence++ % (Config.Size / 2));
        (GuestAddress readable, GuestAddress writable) = Buffers(slot);
        Assert.True(Machine.Memory.TryWrite(readable, Pattern(slot)));
        Assert.True(Machine.Memory.TryWrite(writable, new byte[BufferBytes]));
        Assert.True(Add([new DriverBuffer(readable, BufferBytes), new DriverBuffer(writable, BufferBytes)], 1, slot));
        if (Publish() && kick)
        {
            Kick.Signal();
        }

        return slot;
    }

    /// <summary>Offers a buffer outside guest memory.</summary>
    public void OfferPoison() => OfferAt(new GuestAddress(0xdead_0000_0000), 64);

    /// <summary>Offers one writable buffer anywhere.</summary>
    public void OfferAt(GuestAddress address, uint lengthBytes)
    {
        Assert.True(Add([new DriverBuffer(address, lengthBytes)], 0, 0));
        Publish();
        Kick.Signal();
    }

    /// <summary>Waits for one completion and checks every byte of it.</summary>
    public ushort Collect()
    {
        ushort slot = 0;
        uint written = 0;
        Wait.Until(() => TryGet(out slot, out written), "a request completes");
        Assert.Equal((uint)BufferBytes, written);
        byte[] bytes = new byte[BufferBytes];
        Assert.True(Machine.Memory.TryRead(Buffers(slot).Writable, bytes));
        Assert.Equal(Pattern(slot), bytes);
        return slot;
    }

    public void Echo(int count = 1)
    {
        for (int i = 0; i < count; i++)
        {
            ushort slot = Offer();
            Assert.Equal(slot, Collect());
        }
    }

    public abstract bool TryGet(out ushort slot, out uint writtenBytes);

    public abstract bool ArmCall();

    /// <summary>Forgets the driver's state and clears the ring, as a driver does after a reset.</summary>
    public abstract void Reopen();

    public void Dispose()
    {
        Kick.Dispose();
        Call.Dispose();
        Error.Dispose();
    }

    protected abstract bool Add(ReadOnlySpan<DriverBuffer> buffers, int readable, ushort cookie);

    protected abstract bool Publish();

    private byte[] Pattern(ushort slot)
    {
        byte[] bytes = new byte[BufferBytes];
        new Random(slot + (Index * 1000)).NextBytes(bytes);
        return bytes;
    }
}

internal sealed class TestRing<TDriver>(Machine machine, int index, int size) : TestRing(machine, index, size)
    where TDriver : struct, IDriverRing<TDriver>
{
    private TDriver _driver = Open(machine, index, size);

    public override DriverFault Fault => _driver.Fault;

    public override bool TryGet(out ushort slot, out uint writtenBytes) => _driver.TryGetUsed(out slot, out writtenBytes);

    public override bool ArmCall() => _driver.TryArmCall();

    public override void Reopen() => _driver = TDriver.Open(Config);

    protected override bool Add(ReadOnlySpan<DriverBuffer> buffers, int readable, ushort cookie) => _driver.TryAdd(buffers, readable, cookie);

    protected override bool Publish() => _driver.Publish();

    private static TDriver Open(Machine machine, int index, int size) => TDriver.Open(
        DriverRingConfig.Lay(machine.Memory, new GuestAddress(Machine.GuestBase + ((ulong)index << 19)), size, machine.Features & ~VirtioFeatures.ProtocolFeatures));
}
