using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Transport;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;

namespace Paravane.VhostServer.Session;

/// <content>The record of requests in flight: made here, kept by the front-end, handed back at every start.</content>
internal sealed partial class VhostSession
{
    private InflightRecord? _inflight;

    /// <summary>GET_INFLIGHT_FD: a fresh record. It comes into use by SET_INFLIGHT_FD.</summary>
    public void GetInflightFd(Message message)
    {
        InflightArea wanted = ReadInflight(message);

        // Before SET_FEATURES the ring format is open: the packed layout is the larger one.
        RingFormat format = _hasFeatures ? Format : RingFormat.Packed;
        ulong sizeBytes = InflightRecord.BytesWithWord(format, wanted.QueueCount, wanted.QueueSize);
        _replyDescriptor = InflightRecord.Create(format, wanted.QueueCount, wanted.QueueSize);
        Reply(new InflightArea(sizeBytes, 0, wanted.QueueCount, wanted.QueueSize));
    }

    /// <summary>SET_INFLIGHT_FD: rings that start from now on record their requests there, after they did what they find there.</summary>
    public void SetInflightFd(Message message)
    {
        if (IsAnyRunning)
        {
            Refused("the record of requests in flight cannot change while a ring runs");
        }

        // Of another program's making it has no room for the device's word, which then is not kept.
        InflightArea area = ReadInflight(message);
        ulong neededBytes = InflightRecord.BytesNeeded(Format, area.QueueCount, area.QueueSize);
        if (area.SizeBytes < neededBytes)
        {
            Refused($"a record of 0x{area.SizeBytes:x} bytes is too small: {area.QueueCount} queues of 0x{area.QueueSize:x} descriptors need 0x{neededBytes:x}");
        }

        InflightRecord next = InflightRecord.Map(message.Descriptors.Peek(0), area.OffsetBytes, area.SizeBytes, area.QueueCount, area.QueueSize);
        _inflight?.Dispose();
        _inflight = next;
    }

    private RingFormat Format => IsPacked ? RingFormat.Packed : RingFormat.Split;

    /// <summary>The payload, with or without its padding; counts checked against the device (threats I3).</summary>
    private InflightArea ReadInflight(Message message)
    {
        Span<byte> padded = stackalloc byte[Unsafe.SizeOf<InflightArea>()];
        padded.Clear();
        message.Payload.CopyTo(padded);
        InflightArea area = MemoryMarshal.Read<InflightArea>(padded);
        if (area.QueueCount == 0 || area.QueueCount > _vrings.Length)
        {
            Refused($"{area.QueueCount} queues: the device has {_vrings.Length}");
        }

        if (area.QueueSize == 0 || area.QueueSize > _traits.MaxQueueSize)
        {
            Refused($"queue size 0x{area.QueueSize:x} is not in 1…{_traits.MaxQueueSize}");
        }

        return area;
    }
}
