using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Support;

/// <summary>A small virtual machine on one connection: memory, negotiated features, rings.</summary>
internal sealed class Machine : IDisposable
{
    public const string MemoryName = "vhost-test-ram";
    public const ulong GuestBase = 0x10_0000, UserBase = 0x7000_0000_0000, SizeBytes = 4 << 20;
    public const ProtocolFeatures AllProtocol = ProtocolFeatures.Mq | ProtocolFeatures.LogShmFd | ProtocolFeatures.ReplyAck | ProtocolFeatures.BackendReq
        | ProtocolFeatures.Config | ProtocolFeatures.BackendSendFd | ProtocolFeatures.ResetDevice | ProtocolFeatures.ConfigureMemSlots | ProtocolFeatures.Status
        | ProtocolFeatures.InflightShmFd;

    public const ulong Split = VirtioFeatures.Version1 | VirtioFeatures.EventIdx | VirtioFeatures.IndirectDesc | VirtioFeatures.ProtocolFeatures;
    public const ulong Packed = Split | VirtioFeatures.RingPacked;

    public Machine(Frontend frontend, ulong features = Split, bool sendMemory = true)
    {
        Frontend = frontend;
        Features = features;
        Ram = MemFd.Create(MemoryName, SizeBytes);
        Memory = GuestMemory.Of([GuestRegion.Map(new GuestAddress(GuestBase), new UserAddress(UserBase), SizeBytes, Ram, 0)]);
        frontend.Negotiate(features, AllProtocol);
        if (sendMemory)
        {
            Assert.True(AddRegion(Region));
        }
    }

    public Frontend Frontend { get; }

    public ulong Features { get; }

    public MemFd Ram { get; }

    /// <summary>The test's own mapping.</summary>
    public GuestMemory Memory { get; }

    /// <summary>Connects the same machine to another back-end.</summary>
    public void Attach(Frontend frontend)
    {
        frontend.Negotiate(Features, AllProtocol);
        Assert.True(frontend.Try(FrontendRequest.AddMemReg, new SingleMemoryRegion(Region), Ram));
    }

    public static MemoryRegion Region => new(GuestBase, SizeBytes, UserBase, 0);

    public static ulong ToUser(GuestAddress address) => address.Value - GuestBase + UserBase;

    public bool AddRegion(MemoryRegion region, FileDescriptor? file = null) => Frontend.Try(FrontendRequest.AddMemReg, new SingleMemoryRegion(region), file ?? Ram);

    public bool RemoveRegion(MemoryRegion region) => Frontend.Try(FrontendRequest.RemMemReg, new SingleMemoryRegion(region));

    public byte[] Snapshot()
    {
        byte[] bytes = new byte[SizeBytes];
        Assert.True(Memory.TryRead(new GuestAddress(GuestBase), bytes));
        return bytes;
    }

    public void Dispose()
    {
        Frontend.Dispose();
        Memory.Release();
        Ram.Dispose();
    }
}
