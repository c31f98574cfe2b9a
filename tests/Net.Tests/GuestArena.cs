using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Net.Tests;

/// <summary>Guest memory of one region over a memfd, handed out piece by piece.</summary>
internal sealed class GuestArena : IDisposable
{
    private const ulong Base = 0x10_0000;

    private readonly ulong _sizeBytes;
    private ulong _next = Base;

    public GuestArena(ulong sizeBytes)
    {
        _sizeBytes = sizeBytes;
        using MemFd file = MemFd.Create("net-test", sizeBytes);
        Table = GuestMemory.Of([GuestRegion.Map(new GuestAddress(Base), new UserAddress(0x7000_0000), sizeBytes, file, 0)]);
    }

    public GuestMemory Table { get; }

    public GuestAddress Allocate(ulong bytes, ulong alignment = 128)
    {
        ulong at = (_next + alignment - 1) & ~(alignment - 1);
        _next = at + bytes;
        Assert.True(_next <= Base + _sizeBytes, "test memory is too small");
        return new GuestAddress(at);
    }

    public byte[] Read(GuestAddress address, int lengthBytes)
    {
        byte[] bytes = new byte[lengthBytes];
        Assert.True(Table.TryRead(address, bytes));
        return bytes;
    }

    public void Write(GuestAddress address, ReadOnlySpan<byte> bytes) => Assert.True(Table.TryWrite(address, bytes));

    public void Dispose() => Table.Release();
}
