using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Frontend;

/// <content>The record of requests in flight (vhost-user: «Inflight I/O tracking»), which outlives its back-end.</content>
public sealed partial class VhostUserFrontend
{
    /// <summary>GET_INFLIGHT_FD: a fresh record. Once in the life of a guest, and again after its reset; after <see cref="SetFeatures"/>, which decides on its layout.</summary>
    /// <param name="queues">Queues of the device that will run.</param>
    /// <param name="queueSize">Size of the largest of them in descriptors.</param>
    /// <returns>The record, for <see cref="SetInflight"/>; null when the back-end has none to give.</returns>
    /// <exception cref="FrontendException">INFLIGHT_SHMFD is not negotiated, or the reply is wrong.</exception>
    public FrontendInflight? GetInflight(int queues, int queueSize)
    {
        Require(ProtocolFeatures.InflightShmFd, FrontendRequest.GetInflightFd);
        var wanted = new InflightArea(0, 0, checked((ushort)queues), checked((ushort)queueSize));
        Send(FrontendRequest.GetInflightFd, MemoryMarshal.AsBytes(new ReadOnlySpan<InflightArea>(in wanted)), [], needReply: false);
        byte[] reply = ReceiveReply(FrontendRequest.GetInflightFd, Unsafe.SizeOf<InflightArea>(), orEmpty: false, _options.ReplyTimeout, maxDescriptors: 1);
        InflightArea area = MemoryMarshal.Read<InflightArea>(reply);
        if (area.SizeBytes == 0 && _received.Count == 0)
        {
            return null;
        }

        if (FindError(area, wanted) is { } error)
        {
            throw GiveUp($"GET_INFLIGHT_FD: {error}");
        }

        FileDescriptor file = _received[0];
        _received.Clear();
        return new FrontendInflight(area, file);
    }

    /// <summary>SET_INFLIGHT_FD: at every start, before the rings, also directly after <see cref="GetInflight"/>.</summary>
    /// <exception cref="FrontendException">INFLIGHT_SHMFD is not negotiated, or the back-end refused.</exception>
    public void SetInflight(FrontendInflight inflight)
    {
        ArgumentNullException.ThrowIfNull(inflight);
        Require(ProtocolFeatures.InflightShmFd, FrontendRequest.SetInflightFd);
        Command(FrontendRequest.SetInflightFd, inflight.Area, inflight.File);
    }

    /// <summary>What is wrong with a record that came, or null. Its contents are nobody's concern here: this process never maps it.</summary>
    private string? FindError(InflightArea area, InflightArea wanted)
    {
        if (_received.Count != 1 || area.SizeBytes == 0)
        {
            return $"a record of 0x{area.SizeBytes:x} bytes came with {_received.Count} descriptors";
        }

        if (area.QueueCount != wanted.QueueCount || area.QueueSize != wanted.QueueSize)
        {
            return $"asked for {wanted.QueueCount} queues of {wanted.QueueSize}, the record is for {area.QueueCount} of {area.QueueSize}";
        }

        FileStatus file = FileStatus.Of(_received[0]);
        return !file.IsRegular || area.OffsetBytes > file.SizeBytes || area.SizeBytes > file.SizeBytes - area.OffsetBytes
            ? $"0x{area.SizeBytes:x} bytes at offset 0x{area.OffsetBytes:x} are not inside the file of 0x{file.SizeBytes:x} bytes that came"
            : null;
    }
}
